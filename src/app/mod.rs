//! From a [`Plan`] to running objects and threads, and back to none.

pub mod access;
#[cfg(feature = "cli")]
pub mod control;
pub mod demo;
mod drain;
mod error;
mod expired;
pub mod explain;
mod generation;
mod handover;
mod inbounds;
mod leaving;
mod listed;
#[cfg(feature = "cli")]
mod log_queue;
#[cfg(feature = "cli")]
pub mod logging;
mod outbounds;
mod part;
mod report;
mod retired;
mod stamp;
pub mod status;
mod switch;
mod timed;
mod tunnels;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use error::StartError;
pub use expired::expired_certificates;
pub use report::{Changes, Report};

use crate::config::Plan;
use crate::sync::{Done, Timer};
use generation::{Generation, House, Next, Taken};
use part::Part;
use retired::Retired;
use status::{Census, Phase};
use switch::{AccessSwitch, RouterSwitch};

/// A configuration at work. Closing it, or dropping it, ends everything.
pub struct App {
    house: House,
    current: Mutex<Arc<Generation>>,
    retired: Retired,
    /// Whose turn it is to change what runs. Nobody else waits for it.
    turn: Mutex<()>,
    ending: Done,
    closed: Done,
}

impl App {
    /// Sets `plan` in motion. When it returns, all listeners accept.
    ///
    /// # Errors
    /// See [`StartError`]; whatever had been started is ended again.
    pub fn start(plan: Plan) -> Result<Self, StartError> {
        let nothing = Generation::empty();
        let app = Self {
            house: House {
                timer: Timer::global()?,
                router: Arc::new(RouterSwitch::new(nothing.router.clone())),
                access: Arc::new(AccessSwitch::default()),
                census: Census::new(),
            },
            current: Mutex::new(Arc::new(nothing)),
            retired: Retired::default(),
            turn: Mutex::new(()),
            ending: Done::new(),
            closed: Done::new(),
        };
        app.go_over_to(plan)?;
        app.census().come_to(Phase::Running);
        Ok(app)
    }

    /// Goes over to `plan`. What it has in common with the one before goes on
    /// untouched, with every connection. What is another there, or not there
    /// any more, is replaced or ended: those who use it may go on as long as
    /// [that plan](Self::patience) lets connections when a program stops, and
    /// whoever comes meets what is new. Certificates are read again, and files
    /// that are logged to opened again.
    ///
    /// An inbound that changes on its port keeps the socket, so that nobody is
    /// refused meanwhile. A bridge or portal that changes is used until the one
    /// in its place has a carrier.
    ///
    /// Calls from several threads take turns.
    ///
    /// # Errors
    /// See [`StartError`]; everything is as it was then. [`StartError::Ending`]
    /// when it drains, or has been closed.
    pub fn reload(&self, plan: Plan) -> Result<Report, StartError> {
        self.go_over_to(plan)
    }

    /// Opens the access log's file anew, in case it has been renamed.
    ///
    /// # Errors
    /// When it cannot be opened; the one that is open stays.
    pub fn reopen_access_log(&self) -> Result<(), StartError> {
        let _turn = self.turn.lock();
        generation::reopen_access(&self.current(), &self.house)
    }

    fn go_over_to(&self, plan: Plan) -> Result<Report, StartError> {
        let _turn = self.turn.lock();
        if self.ending.is_done() {
            return Err(StartError::Ending);
        }
        let before = self.current();
        let next = Next::prepare(&before, plan, &self.house)?;
        let Taken {
            generation,
            leaving,
            report,
        } = next.take_over(&self.house);
        let limit = generation.drain;
        *self.current.lock() = Arc::new(generation);
        self.retired.add(leaving, limit);
        Ok(report)
    }

    /// Looks whether all that a plan names can be used, without starting
    /// anything: its certificates.
    ///
    /// # Errors
    /// Those of [`start`](Self::start) that this would bring about.
    pub fn check(plan: &Plan) -> Result<(), StartError> {
        Self::check_all(plan).into_iter().next().map_or(Ok(()), Err)
    }

    /// The same to the end: all of them.
    pub fn check_all(plan: &Plan) -> Vec<StartError> {
        let inbounds = plan.inbounds.iter();
        let inbounds = inbounds.filter_map(|inbound| inbounds::acceptor(inbound).err());
        let outbounds = plan.outbounds.iter();
        let outbounds = outbounds.filter_map(|outbound| outbounds::dialer(outbound).err());
        inbounds.chain(outbounds).collect()
    }

    /// The addresses that the inbound with this tag listens on.
    pub fn local_addrs(&self, tag: &str) -> Vec<SocketAddr> {
        let current = self.current();
        let inbounds = current.inbounds.iter();
        let tagged = inbounds.filter(|inbound| inbound.tag() == tag);
        tagged.flat_map(|inbound| inbound.local_addrs()).collect()
    }

    /// Carriers that bridges have opened to the portals here.
    pub fn carriers(&self) -> usize {
        let current = self.current();
        let portals = current.portals.iter();
        portals.map(|portal| portal.portal().carriers()).sum()
    }

    /// How long the configuration lets connections go on when it is to end.
    pub fn patience(&self) -> Duration {
        self.current().drain
    }

    /// How it does.
    pub fn census(&self) -> &Arc<Census> {
        &self.house.census
    }

    /// Waits until it has been closed.
    pub fn wait(&self) {
        self.closed.wait();
    }

    /// Stops accepting, ends all connections, and waits for their threads.
    /// From any thread, any number of times.
    pub fn close(&self) {
        self.end_reloads();
        let current = self.current();
        let inbounds = &current.inbounds;
        inbounds.iter().for_each(|inbound| inbound.stop_accepting());
        current.bridges.iter().for_each(|b| b.bridge().close());
        current.portals.iter().for_each(|p| p.portal().close());
        inbounds.iter().for_each(|inbound| inbound.close());
        self.retired.close();
        let outbounds = current.outbounds.iter().rev();
        outbounds.for_each(|outbound| outbound.close());
        if let Some(access) = self.house.access.current() {
            access.close();
        }
        if let Some(metrics) = &current.metrics {
            metrics.server.close();
        }
        self.closed.signal();
    }

    fn current(&self) -> Arc<Generation> {
        self.current.lock().clone()
    }

    /// Waits for the reload that is under way; there will be no other.
    fn end_reloads(&self) {
        let turn = self.turn.lock();
        self.ending.signal();
        drop(turn);
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, TcpListener};

    use serde_json::json;
    use socket2::SockRef;

    use super::*;
    use crate::config;
    use crate::limits::JOIN_DEADLINE;
    use crate::transport::tcp::{DIAL_TURNS, DialOptions, LOOKUP_TURNS, dial};

    /// Where a visitor comes from is known to the inbound, and matters where
    /// freedom looks a name up and dials.
    #[test]
    fn a_visitor_takes_turns_with_others_of_its_source() {
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        SockRef::from(&service)
            .set_read_timeout(Some(JOIN_DEADLINE))
            .unwrap();
        let door = json!({
            "address": "localhost", "port": service.local_addr().unwrap().port(),
        });
        let text = json!({
            "log": { "access": "none" },
            "inbounds": [{
                "tag": "in", "listen": "127.0.0.1", "port": 0,
                "protocol": "dokodemo-door", "settings": door,
            }],
            "outbounds": [{
                "protocol": "freedom", "settings": { "domainStrategy": "UseIPv4" },
            }],
        });
        let plan = config::parse("test", &text.to_string()).unwrap();
        let app = App::start(plan).unwrap();
        let visit = |from| {
            let options = DialOptions {
                local: Some(from),
                ..DialOptions::default()
            };
            dial(&app.local_addrs("in"), &options).unwrap()
        };
        let [busy, other] = [2, 3].map(|n| IpAddr::from([127, 0, 0, n]));
        for turns in [&LOOKUP_TURNS, &DIAL_TURNS] {
            let held = turns.take_all_of(busy);
            let _waits = visit(busy);
            turns.expect_waiting(busy);
            let _served = visit(other);
            service.accept().unwrap();
            drop(held);
            service.accept().unwrap();
        }
    }
}
