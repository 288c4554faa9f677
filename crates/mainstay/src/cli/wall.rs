//! Options of `mainstay wall`.

use std::net::SocketAddr;

use clap::Args;

const EXAMPLES: &str = "Examples:
  mainstay wall                                 play on a free port, and say which
  mainstay wall --listen 127.0.0.1:9100         play there; several --listen are several upstreams with counts of their own
  mainstay wall --list                          what can be played
  curl -N http://127.0.0.1:9100/v1/chat/completions -d '{\"model\":\"s08\",\"stream\":true,\"messages\":[]}'
  curl http://127.0.0.1:9100/wall/attempts      who asked how often, and when";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WallOptions {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) listen: Vec<SocketAddr>,
    /// List the models that can be played, and end
    #[arg(long)]
    pub(crate) list: bool,
}
