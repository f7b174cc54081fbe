use std::sync::Arc;

use super::Announcement;
use super::picker::StaticMuxPicker;
use super::portal_worker::PortalWorker;
use crate::mux::{ClientManager, WorkerPicker};
use crate::net::Address;
use crate::sync::Timer;

/// The carriers of a portal, all of them and by what is behind them.
pub(super) struct Carriers {
    all: Group,
    services: Vec<(String, Group)>,
}

/// Carriers among which one is picked for each session.
pub(super) struct Group {
    picker: Arc<StaticMuxPicker>,
    pub(super) client: ClientManager,
}

impl Carriers {
    pub(super) fn new(services: &[String], timer: &Timer) -> Self {
        let services = services.iter();
        Self {
            all: Group::new(timer),
            services: services.map(|n| (n.clone(), Group::new(timer))).collect(),
        }
    }

    /// Adds a worker where it is of use. Returns whether it did, which it does
    /// not once closed.
    #[must_use = "nobody will end the worker that was not added"]
    pub(super) fn add(&self, worker: &Arc<PortalWorker>, announced: &Announcement) -> bool {
        let added = self.all.picker.add(worker.clone());
        for (name, group) in &self.services {
            if added && (announced.services.is_empty() || announced.services.contains(name)) {
                // Closed meanwhile, it is ended among all.
                let _ = group.picker.add(worker.clone());
            }
        }
        added
    }

    pub(super) fn remove(&self, worker: &Arc<PortalWorker>) {
        for group in self.groups() {
            group.picker.remove(worker);
        }
    }

    /// Those that have what is asked for.
    pub(super) fn for_target(&self, target: &Address) -> &Group {
        let label = target.domain().and_then(|name| name.split('.').next());
        let mut services = self.services.iter();
        let found = services.find(|(name, _)| Some(name.as_str()) == label);
        found.map_or(&self.all, |(_, group)| group)
    }

    /// Of the announced services, those that nobody asks for here.
    pub(super) fn unknown(&self, announced: &Announcement) -> Vec<String> {
        let known = |name: &&String| self.services.iter().any(|(known, _)| known == *name);
        let announced = announced.services.iter();
        announced.filter(|name| !known(name)).cloned().collect()
    }

    /// The names of services that are told apart.
    pub(super) fn known(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn all(&self) -> &Group {
        &self.all
    }

    pub(super) fn drain(&self) {
        self.all.picker.drain();
    }

    pub(super) fn close(&self) {
        self.groups().for_each(|group| group.picker.close());
    }

    fn groups(&self) -> impl Iterator<Item = &Group> {
        let services = self.services.iter().map(|(_, group)| group);
        [&self.all].into_iter().chain(services)
    }
}

impl Group {
    fn new(timer: &Timer) -> Self {
        let picker = Arc::new(StaticMuxPicker::new(timer));
        Self {
            client: ClientManager::new(picker.clone()),
            picker,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.picker.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.picker.is_empty()
    }
}
