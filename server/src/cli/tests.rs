//! The command line: what is taken, what is refused, what help shows.

use clap::CommandFactory;

use super::*;

fn parsed(line: &str) -> Result<Cli, String> {
    parse(line.split(' ').map(Into::into)).map_err(|error| error.to_string())
}

#[test]
fn the_definitions_hold_together() {
    Cli::command().debug_assert();
}

#[test]
fn no_command_serves() {
    let cli = parsed("stentor --set http.listen=off").unwrap();
    assert!(cli.command.is_none());
    assert_eq!(cli.server.set, ["http.listen=off"]);
}

#[test]
fn options_of_all_commands_may_stand_behind_the_command() {
    for line in [
        "stentor topic list --json",
        "stentor topic create a -p 3 -c retention.ms=1 --server http://h:1",
        "stentor topic alter a -c retention.ms=1 -u segment.bytes --dry-run",
        "stentor topic add-partitions a --total 5",
        "stentor queue list --namespace / --json",
        "stentor queue create q --lanes 3 --lease 30s --dead-letter-exchange e --dead-letter-routing-key k",
        "stentor queue create q --dedup-window 5m --dedup-scope group --ordered-groups --transient",
        "stentor queue delete q --namespace v --if-unused --if-empty -y",
        "stentor queue purge q --all --yes --server http://h:1",
        "stentor queue peek q --from 5 -n 3",
        "stentor exchange create e --kind delayed:topic --alternate f --internal",
        "stentor exchange bind e --queue q -k a.* -a x-match=all",
        "stentor exchange unbind e --to-exchange f",
        "stentor exchange delete e --if-unused --yes",
        "stentor group describe g --json",
        "stentor group reset-offsets g -t a --to earliest",
        "stentor group reset-offsets g -t a --time 2h --dry-run",
        "stentor produce a one two -H n=v --key k",
        "stentor consume a --from -5 --follow -n 3",
        "stentor tail a -n 0",
        "stentor user add u --password-env P",
        "stentor config --example",
        "stentor config check f.toml",
        "stentor config set a retention.ms=1",
        "stentor serve --config f.toml --set a.b=c",
        "stentor --config f.toml config show --set a.b=c --json",
    ] {
        assert!(parsed(line).is_ok(), "{line}: {:?}", parsed(line).err());
    }
}

#[test]
fn contradictions_are_refused() {
    for line in [
        "stentor group reset-offsets g -t a --to earliest --offset 3",
        "stentor produce a one --file f",
        "stentor consume a --json --format {key}",
        "stentor user add u secret",
        "stentor topics list",
        "stentor queue create q --lease soon",
        "stentor queue create q --overflow perhaps",
        "stentor queue create q --dead-letter-queue d --dead-letter-exchange e",
        "stentor queue create q --dead-letter-routing-key k",
        "stentor exchange bind e",
        "stentor exchange bind e --queue q --to-exchange f",
    ] {
        assert!(parsed(line).is_err(), "{line}");
    }
}

#[test]
fn every_command_shows_an_example_and_the_exit_codes_are_listed() {
    fn check(command: &clap::Command) {
        let mut subcommands = command
            .get_subcommands()
            .filter(|c| c.get_name() != "help")
            .peekable();
        if subcommands.peek().is_none() {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                help.contains("Example"),
                "{} has no example",
                command.get_name()
            );
        }
        subcommands.for_each(check);
    }
    check(&Cli::command());
    assert!(
        parsed("stentor --help")
            .unwrap_err()
            .contains("another process has the data directory open")
    );
}
