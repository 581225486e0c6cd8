use std::process::ExitCode;
use crate::config::Layers;
use crate::exit::Exit;
pub(crate) fn main() -> ExitCode {
    let layers = Layers { file: None, env: std::env::vars().collect(), set: std::env::args().skip(2).collect() };
    let loaded = match layers.load() { Ok(l) => l, Err(e) => { crate::out::error(format_args!("error: {e}")); return Exit::Config.into(); } };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match runtime.block_on(crate::serve::run(loaded.config)) { Ok(()) => ExitCode::SUCCESS, Err(f) => { crate::out::error(format_args!("error: {f}")); f.exit.into() } }
}
