//! Orders with keys of their own, and what became of them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::support::{
    PATIENCE,
    client::Entry,
    streams::{Course, Ending, Manner, Pace, Service, complaints, visit},
    target::Order,
};

/// Streams of one test, and the service that they go to.
pub struct Orders {
    pub service: Service,
    pub course: Arc<Course>,
    size: (u64, u64),
    patience: Duration,
    next: AtomicU64,
    visits: Mutex<Vec<(Order, Ending)>>,
}

impl Orders {
    /// Streams of so many bytes up and down.
    pub fn of(upload: u64, download: u64) -> Self {
        Self::on(Course::default(), upload, download)
    }

    /// The same; all of them together send so many bytes a second at each end.
    pub fn paced(upload: u64, download: u64, rate: u64) -> Self {
        let course = Course {
            pace: Some(Pace::new(rate)),
            ..Course::default()
        };
        Self::on(course, upload, download)
    }

    /// Ends the pace.
    pub fn hurry(&self) {
        if let Some(pace) = &self.course.pace {
            pace.lift();
        }
    }

    fn on(course: Course, upload: u64, download: u64) -> Self {
        let course = Arc::new(course);
        Self {
            service: Service::start(&course, PATIENCE),
            course,
            size: (upload, download),
            patience: PATIENCE,
            next: AtomicU64::new(1),
            visits: Mutex::default(),
        }
    }

    /// With visitors who wait so long for anything.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// An order that no other stream has had.
    pub fn next(&self) -> Order {
        Order {
            key: self.next.fetch_add(1, Ordering::Relaxed),
            upload: self.size.0,
            download: self.size.1,
        }
    }

    /// One that goes up only, down only, or both ways, as it comes.
    pub fn next_mixed(&self) -> Order {
        let order = self.next();
        match order.key % 3 {
            0 => order,
            1 => Order { upload: 0, ..order },
            _ => Order {
                download: 0,
                ..order
            },
        }
    }

    /// Has one filled.
    pub fn place(&self, entry: &Entry, manner: Manner) -> Ending {
        self.place_as(self.next(), entry, manner)
    }

    pub fn place_as(&self, order: Order, entry: &Entry, manner: Manner) -> Ending {
        let ending = visit(entry, order, manner, &self.course, self.patience);
        let mut visits = self.visits.lock().expect("visits");
        visits.push((order, ending.clone()));
        ending
    }

    /// So many at the same time.
    pub fn place_many(&self, count: usize, entry: &Entry, manner: Manner) -> Vec<Ending> {
        thread::scope(|threads| {
            let placed: Vec<_> = (0..count)
                .map(|_| threads.spawn(|| self.place(entry, manner)))
                .collect();
            placed
                .into_iter()
                .map(|visit| visit.join().expect("visitor"))
                .collect()
        })
    }

    /// Right bytes so far.
    pub fn verified(&self) -> u64 {
        self.course.verified.load(Ordering::Relaxed)
    }

    /// Waits for the streams' ends at their targets and fails if one of them
    /// has ended as none may, or worked at one end only.
    #[track_caller]
    pub fn assert_none_forbidden(&self, judged: (bool, bool)) {
        let settled = self.service.settle(2 * PATIENCE);
        let visits = std::mem::take(&mut *self.visits.lock().expect("visits"));
        let found = complaints(&visits, &self.service.take_endings(), judged);
        assert!(
            found.is_empty(),
            "{} of {}: {found:#?}",
            found.len(),
            visits.len()
        );
        assert!(settled.is_ok() || !judged.1, "{settled:?}");
    }
}
