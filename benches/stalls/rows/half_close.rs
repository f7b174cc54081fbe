//! Send, shut down writing, read the echo to its end.

use std::{
    fmt,
    io::{self, Read},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{
    common::{failure::Failure, visitor},
    figure::{Cell, Figure, Reading},
    pairing::{self, Pairing},
    rig::Rig,
    scene::{Scene, Series, Stage},
    support::{
        bytes::{KeyedBytes, send_keyed},
        program::Kind::{Muxcool, V2ray},
        tunnel::Shape,
    },
};

const LENGTHS: [u64; 3] = [1, 64 * 1024, 4 * 1024 * 1024];

const KEY: u64 = 7;

pub fn measure(scene: &Scene) -> Vec<Figure> {
    [
        figure(scene, "reverse", Shape::Reverse),
        figure(scene, "forward", Shape::Forward),
    ]
    .into()
}

fn figure(scene: &Scene, name: &str, shape: Shape) -> Figure {
    let what = format!("send 1 byte, 64 KiB, 4 MB, shut down writing, read the echo, {name}");
    let pairings = pairing::all(shape);
    let alone = |pairing: &Pairing| pairing.near == pairing.far;
    let wanted = |pairing: &Pairing| scene.scale.all_pairings || alone(pairing);
    let pairings: Vec<Pairing> = pairings.into_iter().filter(wanted).collect();
    let all = scene.compare(&what, &pairings, 1, exchanges);
    Figure {
        what,
        target: "whole, EOF; behind V2Ray, which carries no FIN, whole",
        cells: all.iter().map(cell).collect(),
    }
}

/// V2Ray at the near end cuts every answer itself; behind V2Ray at the far end
/// the target learns of no end and makes none.
fn cell(series: &Series<[Answer; 3]>) -> Cell {
    let Pairing { near, far, .. } = series.pairing;
    series.cell(|samples| match (near, far) {
        (Muxcool, Muxcool) => read(samples, Some(Answer::is_right)),
        (Muxcool, V2ray) => read(samples, Some(Answer::is_whole)),
        (V2ray, _) => read(samples, None),
    })
}

/// How an answer ended, and after how many right bytes.
#[derive(Clone, Copy)]
struct Answer {
    length: u64,
    came: u64,
    end: End,
    took: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Eof,
    Reset,
    /// Neither an end nor bytes within the bound.
    Silence,
    WrongBytes,
}

impl Answer {
    fn is_whole(&self) -> bool {
        self.came == self.length
    }

    fn is_right(&self) -> bool {
        self.is_whole() && self.end == End::Eof
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_whole() {
            write!(f, "whole")?;
        } else {
            write!(f, "{} of {}", self.came, self.length)?;
        }
        let end = match self.end {
            End::Eof => "EOF",
            End::Reset => "reset",
            End::Silence => "no end",
            End::WrongBytes => "wrong bytes",
        };
        write!(f, " {end} {:.1} s", self.took.as_secs_f64())
    }
}

fn exchanges(stage: &Stage) -> Result<[Answer; 3], Failure> {
    let rig = Rig::start(stage, &[])?;
    let mut answers = Vec::new();
    for length in LENGTHS {
        answers.push(exchange(rig.echo_door(), length, stage.scale.echo)?);
    }
    answers
        .try_into()
        .map_err(|_| "an answer is missing".into())
}

/// The whole exchange is bounded, not each of its steps.
fn exchange(door: SocketAddr, length: u64, bound: Duration) -> io::Result<Answer> {
    let stream = visitor::enter(door)?;
    let start = Instant::now();
    let (came, end) = thread::scope(|threads| {
        threads.spawn(|| send_and_shut_down(&stream, length));
        let outcome = receive(&stream, start + bound);
        // Frees the sender if it still waits.
        let _ = stream.shutdown(Shutdown::Both);
        outcome
    });
    Ok(Answer {
        length,
        came,
        end,
        took: start.elapsed(),
    })
}

fn send_and_shut_down(stream: &TcpStream, length: u64) -> io::Result<()> {
    send_keyed(stream, KEY, length)?;
    stream.shutdown(Shutdown::Write)
}

fn receive(mut stream: &TcpStream, deadline: Instant) -> (u64, End) {
    let (mut bytes, mut wanted) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let (mut came, mut expected) = (0, KeyedBytes::new(KEY));
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let _ = stream.set_read_timeout(Some(left.max(Duration::from_millis(1))));
        let count = match stream.read(&mut bytes) {
            Ok(0) => return (came, End::Eof),
            Ok(count) => count,
            Err(error) => return (came, end_of(&error)),
        };
        let same = expected.read_exact(&mut wanted[..count]).is_ok();
        if !same || bytes[..count] != wanted[..count] {
            return (came, End::WrongBytes);
        }
        came += count as u64;
    }
}

fn end_of(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => End::Silence,
        _ => End::Reset,
    }
}

fn read(samples: &[[Answer; 3]], meets: Option<fn(&Answer) -> bool>) -> Reading {
    let Some(answers) = samples.first() else {
        return Reading::default();
    };
    let words: Vec<String> = answers.iter().map(Answer::to_string).collect();
    let [byte, short, long] = answers;
    Reading::new(words.join("; "))
        .value("of_1", byte.came as f64)
        .value("of_64_kib", short.came as f64)
        .value("of_4_mib", long.came as f64)
        .met(meets.map(|meets| answers.iter().all(meets)))
}
