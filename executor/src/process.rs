//! This process, as others are told of it.

use podpool_core::ledger::Master;

/// This process, as the master of a run, or as one that asks something of a run's master.
pub(crate) fn this_process() -> Master {
    let program = std::env::current_exe().ok();
    let program =
        program.and_then(|path| path.file_name().map(|it| it.to_string_lossy().into_owned()));
    Master {
        host: host(),
        pid: std::process::id(),
        user: std::env::var("USER").unwrap_or_default(),
        program: program.unwrap_or_default(),
        build: String::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        settings: Vec::new(),
    }
}

fn host() -> String {
    #[cfg(unix)]
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    #[cfg(not(unix))]
    let host = std::env::var("COMPUTERNAME").unwrap_or_default();
    host
}
