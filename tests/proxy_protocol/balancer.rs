//! Somebody who takes connections for another and says so in front of each.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use crate::support::target::TcpTarget;

pub struct Balancer {
    listener: TcpTarget,
}

impl Balancer {
    /// Takes connections to `behind`, where each begins with `header`.
    pub fn start(behind: SocketAddr, header: Vec<u8>) -> Self {
        let listener = TcpTarget::start(move |visitor| {
            let mut far = TcpStream::connect(behind)?;
            far.write_all(&header)?;
            let (mut back, mut near) = (far.try_clone()?, visitor.try_clone()?);
            let answers = thread::spawn(move || copy(&mut back, &mut near));
            copy(&mut &visitor, &mut far)?;
            answers.join().expect("no panic")
        });
        Self { listener }
    }

    pub fn port(&self) -> u16 {
        self.listener.address().port()
    }
}

fn copy(from: &mut impl io::Read, to: &mut TcpStream) -> io::Result<()> {
    let copied = io::copy(from, to);
    to.shutdown(Shutdown::Write)?;
    copied.map(drop)
}
