//! Workers with a scripted peer on the other end of their carrier.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use muxcool::limits::SESSION_PIPE;
use muxcool::link::{Dispatcher, Request, pair};
use muxcool::mux::{CarrierOptions, ClientOptions, ClientWorker, MuxError, ServerWorker};
use muxcool::net::Destination;

use super::frames::{Frame, NEW, Script};
use super::party::Party;
use super::targets::{Taking, Target, Targets, next};
use super::tcp;

/// A client worker whose peer is a script.
pub struct Client {
    pub worker: Arc<ClientWorker>,
    pub script: Script,
}

/// An application whose link is dispatched on a thread.
pub struct App {
    pub party: Party,
    pub outcome: JoinHandle<Result<(), MuxError>>,
}

impl Client {
    pub fn new() -> Self {
        Self::with(ClientOptions::default())
    }

    pub fn with(options: ClientOptions) -> Self {
        let (link, script) = Script::new();
        let worker = Arc::new(ClientWorker::new(link, options).unwrap());
        Self { worker, script }
    }

    /// Dispatches a link into which `first` has been written.
    pub fn app(&self, target: Destination, first: &[u8]) -> App {
        let (near, far) = pair(SESSION_PIPE);
        let mut party = Party::from(near);
        if !first.is_empty() {
            party.write(first);
        }
        let worker = self.worker.clone();
        let outcome = std::thread::spawn(move || worker.dispatch(&target, far).expect("a place"));
        App { party, outcome }
    }

    /// An application whose New has arrived, and the session's id.
    pub fn opened(&mut self) -> (App, u16) {
        let app = self.app(tcp(), b"");
        let new = self.script.frame();
        assert_eq!(new.status, NEW);
        (app, new.id)
    }
}

impl App {
    /// How its dispatch ended.
    pub fn outcome(self) -> Result<(), MuxError> {
        self.outcome.join().expect("no panic")
    }
}

/// A server worker whose peer is a script.
pub struct Server {
    pub worker: ServerWorker,
    pub script: Script,
    pub targets: Receiver<Target>,
}

impl Server {
    /// Sessions go to targets in the test's hands.
    pub fn new() -> Self {
        Self::taking(Taking::ByHand)
    }

    pub fn taking(taking: Taking) -> Self {
        let (dispatcher, targets) = Targets::start(taking);
        let mut server = Self::dispatching(dispatcher);
        server.targets = targets;
        server
    }

    /// Sessions go to targets in the test's hands; the carrier has settings.
    pub fn with(options: &CarrierOptions) -> Self {
        let (dispatcher, targets) = Targets::start(Taking::ByHand);
        let mut server = Self::dispatching_with(dispatcher, options);
        server.targets = targets;
        server
    }

    /// Sessions go to `dispatcher`.
    pub fn dispatching(dispatcher: Arc<dyn Dispatcher>) -> Self {
        Self::dispatching_with(dispatcher, &CarrierOptions::default())
    }

    pub fn dispatching_with(dispatcher: Arc<dyn Dispatcher>, options: &CarrierOptions) -> Self {
        let (link, script) = Script::new();
        let origin = Request::new(tcp());
        let worker = ServerWorker::start_with(link, dispatcher, origin, options, || {}).unwrap();
        Self {
            worker,
            script,
            targets: crossbeam_channel::never(),
        }
    }

    /// Opens a session and waits for its target.
    pub fn open(&mut self, id: u16, to: &Destination, data: Option<&[u8]>) -> Target {
        self.script.send(Frame::open(id, to, data));
        next(&self.targets)
    }
}
