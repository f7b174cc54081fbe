//! The server's watch over its client.

use crossbeam_channel::Receiver;
use muxcool::limits::{DEAD_AFTER, PROBE_AFTER};
use muxcool::link::Request;
use muxcool::mux::ServerWorker;

use crate::mux_support::frames::{Frame, PROBE};
use crate::mux_support::scene::scene;
use crate::mux_support::speaker::{Signal, Speaker};
use crate::mux_support::targets::{Taking, Target, Targets, next};
use crate::mux_support::tasks::PATIENCE;
use crate::mux_support::tcp;
use crate::mux_support::time::Time;
use crate::{HELLO, pass, pass_until, until_probed};

struct Served {
    worker: ServerWorker,
    speaker: Speaker,
    targets: Receiver<Target>,
    ended: Receiver<()>,
}

fn server(time: &Time) -> Served {
    let (link, speaker) = Speaker::new();
    let (dispatcher, targets) = Targets::start(Taking::ByHand);
    let (tell, ended) = crossbeam_channel::bounded(1);
    let told = move || tell.send(()).unwrap();
    let worker =
        ServerWorker::start_with(link, dispatcher, Request::new(tcp()), &time.options(), told);
    Served {
        worker: worker.unwrap(),
        speaker,
        targets,
        ended,
    }
}

#[test]
fn a_server_watches_its_client_too() {
    let _scene = scene();
    for muxcool in [true, false] {
        let time = Time::new();
        let mut server = server(&time);
        server.speaker.send(Frame::open(1, &tcp(), None));
        let mut target = next(&server.targets);
        match muxcool {
            true => {
                server.speaker.say(&[HELLO]);
                let nonce = server.speaker.pinged();
                server.speaker.say(&[Signal::Pong(nonce)]);
                server.speaker.sync();
                until_probed(&time);
                server.speaker.pinged();
            }
            false => {
                until_probed(&time);
                server.speaker.expect(Frame::keep(PROBE, b""));
                server.speaker.send(Frame::end(PROBE, false));
                server.speaker.script().sync();
            }
        }
        assert!(!server.worker.is_closed());
        let passed = pass_until(&time, || server.worker.is_closed());
        assert!(passed >= DEAD_AFTER - PROBE_AFTER, "{passed:?}");
        server.ended.recv_timeout(PATIENCE).unwrap();
        target.read_to_error();
        drop(target);
        server.worker.close();
    }
}

#[test]
fn a_client_that_never_answers_is_left_alone() {
    let _scene = scene();
    let time = Time::new();
    let mut server = server(&time);
    server.speaker.send(Frame::open(1, &tcp(), None));
    let mut target = next(&server.targets);
    pass(&time, 4 * DEAD_AFTER);
    server.speaker.send(Frame::keep(1, b"still there"));
    assert_eq!(target.read(11), b"still there");
    drop(target);
    server.worker.close();
}
