//! The fake engine as a program: `llem-fake-engine [PORT [BEHAVIOUR]]`, behaviour as a JSON object.
//!
//! Prints its address and serves until it is killed.

use std::{
    io::{self, Write},
    net::TcpListener,
    sync::atomic::AtomicBool,
};

use llem_fake_engine::{Behaviour, serve};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().unwrap_or_else(|| "0".to_owned());
    let behaviour: Behaviour = serde_json::from_str(arguments.next().as_deref().unwrap_or("{}"))?;
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    serve(listener, behaviour, &AtomicBool::new(false)).map(drop)
}
