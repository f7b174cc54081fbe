//! Our server, and a client of V2Ray's kind.

use crate::mux_support::frames::{END, Frame};
use crate::mux_support::keyed;
use crate::mux_support::rig::Server;
use crate::mux_support::scene::scene;
use crate::mux_support::targets::Taking;
use crate::mux_support::tasks::wait_until;
use crate::mux_support::tcp;
use crate::mux_support::wire::Spec;

/// With targets that are held by hand, and such that are relayed.
fn both(test: impl Fn(&mut Server)) {
    for taking in [Taking::ByHand, Taking::Relayed(Spec::default())] {
        let mut server = Server::taking(taking);
        test(&mut server);
        wait_until("no session is left", || {
            server.worker.active_connections() == 0
        });
        server.script.sync();
        let ends = server
            .script
            .seen
            .iter()
            .filter(|frame| frame.status == END);
        assert_eq!(ends.count(), 0, "one End is enough");
        server.worker.close();
    }
}

/// The stream that comes for an id, up to a frame of another status.
fn answer(server: &mut Server, id: u16) -> (Vec<u8>, Frame) {
    let mut bytes = Vec::new();
    loop {
        let frame = server.script.frame();
        if frame != Frame::keep(id, frame.payload()) {
            return (bytes, frame);
        }
        bytes.extend(frame.payload());
    }
}

#[test]
fn end_reaches_the_target_and_the_answer_goes_on() {
    let _scene = scene();
    both(|server| {
        let mut target = server.open(1, &tcp(), Some(b"question"));
        server.script.send(Frame::end(1, false));
        assert_eq!(target.read_to_end(), b"question");
        let expected = keyed(2, 0, 200_000);
        target.write(&expected);
        target.close();
        let (bytes, end) = answer(server, 1);
        assert!(bytes == expected);
        assert_eq!(end, Frame::end(1, false));
    });
}

#[test]
fn the_target_may_end_first() {
    let _scene = scene();
    both(|server| {
        let mut target = server.open(1, &tcp(), None);
        target.close();
        server.script.expect(Frame::end(1, false));
        server.script.send(Frame::keep(1, b"still coming"));
        assert_eq!(target.read(12), b"still coming");
        server.script.send(Frame::end(1, false));
        assert_eq!(target.read_to_end(), b"");
    });
}

/// V2Ray's client has forgotten the session with its own End, and answers what
/// still comes for it with another.
#[test]
fn a_second_end_says_that_the_answer_is_not_wanted() {
    let _scene = scene();
    both(|server| {
        let mut target = server.open(1, &tcp(), None);
        server.script.send(Frame::end(1, false));
        assert_eq!(target.read_to_end(), b"");
        target.write(b"an answer");
        server.script.expect(Frame::keep(1, b"an answer"));
        server.script.send(Frame::end(1, false));
        while target.try_write(&[7; 1000]).is_ok() {}
        let (_, end) = answer(server, 1);
        assert_eq!(end, Frame::end(1, false));
    });
}

#[test]
fn an_end_with_the_error_bit_is_a_reset_for_both_directions() {
    let _scene = scene();
    for half_closed in [false, true] {
        both(|server| {
            let mut target = server.open(1, &tcp(), Some(b"question"));
            if half_closed {
                server.script.send(Frame::end(1, false));
                assert_eq!(target.read_to_end(), b"question");
            }
            server.script.send(Frame::end(1, true));
            while target.try_write(&[7; 1000]).is_ok() {}
            if !half_closed {
                target.read_to_error();
            }
        });
    }
}

#[test]
fn a_target_that_fails_is_an_error_before_and_after_the_clients_end() {
    let _scene = scene();
    for half_closed in [false, true] {
        both(|server| {
            let mut target = server.open(1, &tcp(), None);
            if half_closed {
                server.script.send(Frame::end(1, false));
                target.read_to_end();
            }
            target.write(b"half an ans");
            server.script.expect(Frame::keep(1, b"half an ans"));
            target.abort();
            server.script.expect(Frame::end(1, true));
        });
    }
}

#[test]
fn what_comes_after_end_is_not_delivered() {
    let _scene = scene();
    both(|server| {
        let mut target = server.open(1, &tcp(), Some(b"whole"));
        server.script.send(Frame::end(1, false));
        server.script.send(Frame::keep(1, b"too late"));
        // While the id stands for the session: later it would be an unknown one.
        server.script.sync();
        assert_eq!(target.read_to_end(), b"whole");
        // Once the session is over, data for it is answered with another End.
        server.script.sync();
        target.close();
        server.script.expect(Frame::end(1, false));
    });
}

#[test]
fn an_id_is_free_again_once_both_have_ended_it() {
    let _scene = scene();
    both(|server| {
        for round in 0..20 {
            let mut target = server.open(1, &tcp(), Some(b"question"));
            match round % 2 {
                0 => {
                    server.script.send(Frame::end(1, false));
                    assert_eq!(target.read_to_end(), b"question");
                    target.close();
                    server.script.expect(Frame::end(1, false));
                }
                _ => {
                    target.close();
                    server.script.expect(Frame::end(1, false));
                    server.script.send(Frame::end(1, false));
                    assert_eq!(target.read_to_end(), b"question");
                }
            }
            wait_until("it is free", || server.worker.active_connections() == 0);
        }
    });
}
