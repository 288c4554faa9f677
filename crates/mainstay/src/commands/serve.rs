//! `mainstay serve`: the gateway and the admin API, until a signal ends them.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::cli::Global;
use crate::exit::{Exit, Stop};
use crate::log;
use crate::output::{self, Format};
use crate::plane::Plane;
use crate::service::Service;
use crate::source::{Refused, Source};

/// Serves until SIGTERM or SIGINT, then drains; a second signal ends it at once. SIGHUP reads the config again.
pub(crate) fn run(global: &Global, filter: &str) -> Result<Exit, Stop> {
    log::start(filter).map_err(Stop::usage)?;
    let source = Source::file(&global.config);
    let (plan, warnings, document) = source.load().map_err(|refused| refuse(&refused))?;
    if !warnings.is_empty() {
        output::say(format_args!("{}", document.render(&warnings, output::stderr_has_colours())));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::unreachable)?;
    runtime.block_on(async {
        let mut signals = Signals::listen().map_err(Stop::unreachable)?;
        let (service, admin) = Service::start(plan, source, log::event).await?;
        announce(global.format, &service, admin.local_addr())?;
        let (end, ended) = oneshot::channel::<()>();
        let mut tasks = JoinSet::new();
        tasks.spawn(admin.serve(async { drop(ended.await) }));
        signals.until_end(&service.plane).await;
        tokio::select! {
            () = service.stop() => {}
            () = signals.again() => {
                output::say(format_args!("second signal: requests under way are cut off"));
                std::process::exit(Exit::Fine as i32);
            }
        }
        drop(end);
        while tasks.join_next().await.is_some() {}
        Ok(Exit::Fine)
    })
}

fn refuse(refused: &Refused) -> Stop {
    for paragraph in refused.paragraphs(output::stderr_has_colours()) {
        output::say(format_args!("{paragraph}"));
    }
    Stop::Said(Exit::Usage)
}

/// The one line that says where to go.
fn announce(format: Format, service: &Service, admin: std::net::SocketAddr) -> Result<(), Stop> {
    let address = service.address();
    match format {
        Format::Human => output::data(format_args!("ready: requests at {address}, admin API at http://{admin}")),
        Format::Json => output::data(serde_json::json!({ "schema": 1, "listen": address, "admin": admin })),
    }
}

/// The signals that this process understands.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    /// Heard and left alone, so that a file which reached its limit (`RLIMIT_FSIZE`) is an error of that file and not the end.
    _file_limit: Signal,
}

/// `SIGXFSZ` of Linux on x86-64 and ARM, and of macOS.
const FILE_LIMIT: i32 = 25;

impl Signals {
    fn listen() -> anyhow::Result<Signals> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Signals {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            _file_limit: listen(SignalKind::from_raw(FILE_LIMIT))?,
        })
    }

    /// Reloads at each SIGHUP, and returns at the first SIGTERM or SIGINT.
    async fn until_end(&mut self, plane: &Plane) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => reload(plane),
                () = Signals::end(&mut self.terminate, &mut self.interrupt) => return,
            }
        }
    }

    /// The next SIGTERM or SIGINT.
    async fn again(&mut self) {
        Signals::end(&mut self.terminate, &mut self.interrupt).await;
    }

    async fn end(terminate: &mut Signal, interrupt: &mut Signal) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

fn reload(plane: &Plane) {
    match plane.reload_now() {
        Ok(report) => {
            tracing::info!(applied = ?report.applied, needs_restart = ?report.needs_restart, "config in force");
        }
        Err(refused) => {
            tracing::error!("the config was refused; the one in force stays");
            for paragraph in refused.paragraphs(output::stderr_has_colours()) {
                output::say(format_args!("{paragraph}"));
            }
        }
    }
}
