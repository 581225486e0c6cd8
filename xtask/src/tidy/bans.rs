//! Words that may not be there: tests that are left out or wait for real time, work that was put
//! off, paths of one person's machine, ways around the lints without a word why.

use super::code::is_test_file;
use super::{Code, Tree, Violation};

/// Words of code, wherever they are: the word, and what to do instead.
const ANYWHERE: &[(&str, &str)] = &[
    ("#[ignore", "make the test pass, or remove it"),
    ("todo!", "write it, or leave the feature out"),
    ("unimplemented!", "write it, or leave the feature out"),
];

/// Marks of work that was put off, wherever they are: comments too. Written in two halves, or this
/// file would break its own rule.
const MARKS: &[&str] = &[
    concat!("FIX", "ME"),
    concat!("TO", "DO:"),
    concat!("XX", "X:"),
];

/// Where the files of one person's machine lie.
const MACHINES: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/ro", "ot/"),
    concat!("C:\\", "Users"),
];

/// How tests of other languages wait.
const FOREIGN_SLEEPS: &[(&str, &[&str])] = &[
    ("go", &["time.Sleep("]),
    ("java", &["Thread.sleep("]),
    ("js", &["setTimeout("]),
    ("py", &["time.sleep("]),
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in tree.written_rust() {
        let code = Code::new(text);
        for (word, instead) in ANYWHERE {
            let lines = code.find(word).into_iter();
            found.extend(
                lines.map(|line| Violation::new(path, line, format!("`{word}`"), *instead)),
            );
        }
        found.extend(sleeps(path, text, &code));
    }
    for (path, text) in tree.texts() {
        for (at, line) in text.lines().enumerate() {
            found.extend(marks(path, at + 1, line));
        }
    }
    for (extension, words) in FOREIGN_SLEEPS {
        let tests = tree
            .with_extension(extension)
            .filter(|(path, _)| is_test_file(path));
        for (path, text) in tests {
            for (at, line) in text.lines().enumerate() {
                let sleep = words.iter().find(|word| line.contains(**word));
                found.extend(sleep.map(|word| no_sleep(path, at + 1, word.trim_end_matches('('))));
            }
        }
    }
    found
}

fn no_sleep(path: &str, line: usize, word: &str) -> Violation {
    let instead = "wait for what is to happen, with a deadline, or let a fake clock pass the time";
    Violation::new(path, line, format!("`{word}` in a test"), instead)
}

fn sleeps(path: &str, text: &str, code: &Code) -> Vec<Violation> {
    let functions = code.functions();
    // Under a paused clock nobody waits: time jumps.
    let paused = |line: usize| {
        let around = functions
            .iter()
            .filter(|function| function.lines.contains(&line));
        around.map(|function| *function.lines.start()).any(|start| {
            let attributes = text.lines().take(start - 1).skip(start.saturating_sub(4));
            attributes
                .into_iter()
                .any(|line| line.contains("start_paused = true"))
        })
    };
    let test_lines = code.test_lines();
    let in_test =
        |line: usize| is_test_file(path) || test_lines.iter().any(|lines| lines.contains(&line));
    code.words()
        .filter(|(line, word)| *word == "sleep" && in_test(*line) && !paused(*line))
        .map(|(line, word)| no_sleep(path, line, word))
        .collect()
}

fn marks(path: &str, line: usize, text: &str) -> Vec<Violation> {
    let marks = MARKS
        .iter()
        .filter(|mark| text.contains(**mark))
        .map(|mark| {
            let what = format!("`{}` puts work off", mark.trim_end_matches(':'));
            Violation::new(
                path,
                line,
                what,
                "do it, or say in the documents that it is not done",
            )
        });
    let machines = MACHINES
        .iter()
        .filter(|folder| text.contains(**folder))
        .map(|folder| {
            let what = format!("`{folder}` is a path of one machine");
            Violation::new(
                path,
                line,
                what,
                "use a relative path, or take it from the environment",
            )
        });
    marks.chain(machines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        let all = check(&Tree::of(&[(path, text)]));
        all.into_iter().map(|v| (v.line, v.what)).collect()
    }

    #[test]
    fn tests_are_not_ignored_and_nothing_is_left_undone() {
        let text = "#[test]\n#[ignore = \"slow\"]\nfn a() { todo!() }\n// todo! in a comment\n";
        assert_eq!(
            found("a.rs", text),
            [(2, "`#[ignore`".into()), (3, "`todo!`".into())]
        );
        let mark = format!("# {}: later\n", MARKS[0]);
        assert_eq!(found("a.toml", &mark).len(), 1);
    }

    #[test]
    fn tests_do_not_sleep_and_the_rest_may() {
        let text = "fn a() { sleep(b) }\n#[cfg(test)]\nmod tests {\n fn c() { sleep(d) }\n}\n";
        assert_eq!(found("src/a.rs", text), [(4, "`sleep` in a test".into())]);
        assert_eq!(found("src/a/tests.rs", text).len(), 2);
        assert_eq!(
            found("tests/a.py", "x\ntime.sleep(1)\n"),
            [(2, "`time.sleep` in a test".into())]
        );
        let paused = "#[tokio::test(start_paused = true)]\nasync fn a() { sleep(b).await }\n";
        assert_eq!(found("tests/a.rs", paused), []);
        assert_eq!(found("bench/a.py", "time.sleep(1)\n"), []);
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        for folder in MACHINES {
            assert_eq!(
                found("a.md", &format!("see {folder}me/x")).len(),
                1,
                "{folder}"
            );
        }
        assert_eq!(found("a.md", "/var/lib/stentor"), []);
    }
}
