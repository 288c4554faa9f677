//! Options of `mainstay wall`.

use std::net::SocketAddr;

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct WallOptions {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) listen: Vec<SocketAddr>,
    /// List the models that can be played, and end
    #[arg(long)]
    pub(crate) list: bool,
}
