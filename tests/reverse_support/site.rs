//! What a bridge stands in: a dispatcher that dials scripted portals, and
//! hands what comes through them to the test.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use muxcool::link::{DispatchError, Dispatcher, Link, Request};
use muxcool::reverse::{Bridge, Control};
use parking_lot::Mutex;

use super::time::Time;
use super::{DOMAIN, bridge_options, control_target};
use crate::mux_support::frames::{Frame, Script};
use crate::mux_support::targets::{Taking, Target, Targets, next};
use crate::mux_support::tasks::PATIENCE;

pub const TAG: &str = "bridge";

/// A bridge, and the test's side of what it dials and dispatches.
pub struct Site {
    // Ends before its surroundings.
    pub bridge: Bridge,
    pub time: Time,
    pub dials: Receiver<Dial>,
    pub targets: Receiver<Target>,
}

/// One attempt to reach the portal.
pub struct Dial {
    pub request: Request,
    /// Absent if it was refused.
    pub script: Option<Script>,
}

/// How dials are answered, in order; with a link once none is left.
#[derive(Default)]
pub struct Answers(Mutex<VecDeque<Answer>>);

type Answer = Box<dyn FnOnce() -> Result<(Link, Option<Script>), DispatchError> + Send>;

impl Answers {
    /// The next dial that has no answer yet gets this one.
    pub fn push(
        &self,
        answer: impl FnOnce() -> Result<(Link, Option<Script>), DispatchError> + Send + 'static,
    ) {
        self.0.lock().push_back(Box::new(answer));
    }

    pub fn refuse(&self, times: usize) {
        for _ in 0..times {
            self.push(|| {
                let refused = io::ErrorKind::ConnectionRefused;
                Err(DispatchError::Unreachable(refused.into()))
            });
        }
    }

    /// A dial succeeds, and the carrier ends at once.
    pub fn hang_up(&self, times: usize) {
        for _ in 0..times {
            self.push(|| Ok((Script::new().0, None)));
        }
    }

    fn next(&self) -> Result<(Link, Option<Script>), DispatchError> {
        let answer = self.0.lock().pop_front();
        match answer {
            Some(answer) => answer(),
            None => {
                let (link, script) = Script::new();
                Ok((link, Some(script)))
            }
        }
    }
}

struct World {
    answers: Answers,
    dialled: Sender<Dial>,
    inside: Arc<dyn Dispatcher>,
}

impl Dispatcher for World {
    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        self.inside.dispatch(request, link)
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        let request = request.clone();
        let (link, script) = match self.answers.next() {
            Ok((link, script)) => (Ok(link), script),
            Err(e) => (Err(e), None),
        };
        let _ = self.dialled.send(Dial { request, script });
        link
    }
}

impl Site {
    pub fn new() -> Self {
        Self::answering(Answers::default())
    }

    pub fn answering(answers: Answers) -> Self {
        let (inside, targets) = Targets::start(Taking::ByHand);
        Self::inside(answers, inside, targets)
    }

    /// The bridge's sessions go to `inside`.
    pub fn inside(
        answers: Answers,
        inside: Arc<dyn Dispatcher>,
        targets: Receiver<Target>,
    ) -> Self {
        let time = Time::new();
        let (dialled, dials) = unbounded();
        let world = World {
            answers,
            dialled,
            inside,
        };
        let options = bridge_options(TAG, DOMAIN);
        Self {
            bridge: Bridge::new(options, Arc::new(world), &time.timer).unwrap(),
            time,
            dials,
            targets,
        }
    }

    /// The next dial; it must come without time passing.
    pub fn dial(&self) -> Dial {
        self.dials.recv_timeout(PATIENCE).expect("a dial")
    }

    /// The next carrier, as its portal sees it.
    pub fn carrier(&self) -> Script {
        self.dial().script.expect("a carrier")
    }

    /// The next carrier, on which the portal has opened the control session.
    pub fn controlled(&self) -> Script {
        let mut script = self.carrier();
        open_control(&mut script);
        script
    }

    /// How often the bridge has dialled since the last look.
    pub fn count_dials(&self) -> usize {
        self.dials.try_iter().count()
    }

    /// The target of the next session.
    pub fn target(&self) -> Target {
        next(&self.targets)
    }
}

/// The id under which portals open the control session.
pub const CONTROL: u16 = 1;

/// Opens the control session as V2Ray's portal does.
pub fn open_control(script: &mut Script) {
    let target = control_target("reverse.internal.v2ray.com");
    let active = Control::active(&mut rand::rng()).encode();
    script.send(Frame::open(CONTROL, &target, Some(&active)));
    script.sync();
}

/// Tells the bridge that the carrier drains, and no more.
pub fn drain(script: &mut Script) {
    let drain = Control::drain(&mut rand::rng()).encode();
    script.send(Frame::keep(CONTROL, &drain));
    script.send(Frame::end(CONTROL, false));
}
