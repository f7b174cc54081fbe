//! Threads between two tasks.

use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::task;
use crate::limits::{SPARE_THREADS, SPARE_TIME};
use crate::sync::shim::{Condvar, Mutex};

/// Name of a thread without a task.
pub(super) const NAME: &str = "spare";

/// The process's spare threads.
pub(super) static RESERVE: Reserve = Reserve::new(SPARE_THREADS, SPARE_TIME);

/// What a thread is to do, under which name and number.
pub(super) struct Job {
    number: u64,
    name: CString,
    run: Box<dyn FnOnce() + Send>,
}

impl Job {
    /// `run` must not unwind.
    pub(super) fn new(number: u64, name: &str, run: impl FnOnce() + Send + 'static) -> Self {
        Self {
            number,
            name: system_name(name),
            run: Box::new(run),
        }
    }

    pub(super) fn run(self) {
        rename(&self.name);
        task::run_as(self.number, self.run);
    }
}

/// Threads that have done their task, which may be given another one.
///
/// It owns them as long as they have none. Each is woken by a task, which it
/// takes over, or by its clock, upon which it ends. The one that came last
/// leaves first: its stack is warm, and those that nobody needs become old.
pub(super) struct Reserve {
    most: usize,
    patience: Duration,
    spares: Mutex<Vec<Arc<Spare>>>,
}

/// A thread that waits.
#[derive(Default)]
struct Spare {
    job: Mutex<Option<Job>>,
    given: Condvar,
}

impl Reserve {
    pub(super) const fn new(most: usize, patience: Duration) -> Self {
        Self {
            most,
            patience,
            spares: Mutex::new(Vec::new()),
        }
    }

    /// Gives `job` to a thread that waits, or back if there is none.
    pub(super) fn hand_over(&self, job: Job) -> Result<(), Job> {
        let spare = self.spares.lock().pop();
        match spare {
            Some(spare) => {
                spare.give(job);
                Ok(())
            }
            None => Err(job),
        }
    }

    /// Runs `first`, and what comes after it. Returns when the thread is not
    /// wanted any more.
    pub(super) fn serve(&self, first: Job) {
        let me = Arc::new(Spare::default());
        let mut job = first;
        loop {
            job.run();
            rename(&system_name(NAME));
            if !self.enlist(&me) {
                return;
            }
            match self.next_job(&me) {
                Some(next) => job = next,
                None => return,
            }
        }
    }

    /// Returns whether there is a place.
    fn enlist(&self, me: &Arc<Spare>) -> bool {
        let mut spares = self.spares.lock();
        let has_place = spares.len() < self.most;
        if has_place {
            spares.push(me.clone());
        }
        has_place
    }

    fn next_job(&self, me: &Arc<Spare>) -> Option<Job> {
        let deadline = Instant::now() + self.patience;
        me.wait(Some(deadline)).or_else(|| match self.delist(me) {
            true => None,
            false => me.wait(None), // somebody has taken it and comes with a job
        })
    }

    /// Returns whether it was still listed.
    fn delist(&self, me: &Arc<Spare>) -> bool {
        let mut spares = self.spares.lock();
        let place = spares.iter().position(|spare| Arc::ptr_eq(spare, me));
        place.map(|place| spares.remove(place)).is_some()
    }
}

impl Spare {
    fn give(&self, job: Job) {
        *self.job.lock() = Some(job);
        self.given.notify_one();
    }

    fn wait(&self, deadline: Option<Instant>) -> Option<Job> {
        let mut job = self.job.lock();
        while job.is_none() {
            match deadline {
                None => self.given.wait(&mut job),
                Some(at) if self.given.wait_until(&mut job, at).timed_out() => break,
                Some(_) => {}
            }
        }
        job.take()
    }
}

/// What the system keeps of a name: it would end at a NUL.
fn system_name(name: &str) -> CString {
    let kept = name.bytes().filter(|byte| *byte != 0).take(15);
    CString::new(kept.collect::<Vec<u8>>()).unwrap_or_default()
}

/// Without a name a thread works as well.
fn rename(name: &CString) {
    let _ = rustix::thread::set_name(name);
}

#[cfg(test)]
mod tests {
    use std::thread::{self, JoinHandle, ThreadId};

    use crossbeam_channel::{Receiver, bounded};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn job(run: impl FnOnce() + Send + 'static) -> Job {
        Job::new(0, "job", run)
    }

    /// A job that tells which thread has run it.
    fn telling() -> (Job, Receiver<ThreadId>) {
        let (tell, told) = bounded(1);
        let run = move || tell.send(thread::current().id()).unwrap();
        (job(run), told)
    }

    fn start(reserve: &'static Reserve) -> JoinHandle<()> {
        let (first, told) = telling();
        let thread = thread::spawn(move || reserve.serve(first));
        told.recv_timeout(PATIENCE).unwrap();
        thread
    }

    fn wait_until_listed(reserve: &Reserve, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while reserve.spares.lock().len() != count {
            assert!(Instant::now() < deadline, "{count} were expected");
            thread::yield_now();
        }
    }

    #[test]
    fn a_thread_that_is_done_takes_the_next_job() {
        static RESERVE: Reserve = Reserve::new(1, PATIENCE);
        let thread = start(&RESERVE);
        for _ in 0..3 {
            wait_until_listed(&RESERVE, 1);
            let (next, told) = telling();
            assert!(RESERVE.hand_over(next).is_ok());
            assert_eq!(told.recv_timeout(PATIENCE).unwrap(), thread.thread().id());
        }
    }

    #[test]
    fn a_thread_without_a_job_ends_in_time() {
        static RESERVE: Reserve = Reserve::new(1, Duration::from_millis(1));
        start(&RESERVE).join().unwrap();
        assert!(RESERVE.hand_over(job(|| ())).is_err());
    }

    #[test]
    fn one_too_many_ends_at_once() {
        static RESERVE: Reserve = Reserve::new(1, PATIENCE);
        let _first = start(&RESERVE);
        wait_until_listed(&RESERVE, 1);
        start(&RESERVE).join().unwrap();
        wait_until_listed(&RESERVE, 1);
    }

    /// The clock and a job may come at the same moment: the job is run.
    #[test]
    fn no_job_is_lost_to_a_thread_that_is_about_to_end() {
        static RESERVE: Reserve = Reserve::new(1, Duration::from_micros(50));
        for _ in 0..200 {
            start(&RESERVE);
            let (next, told) = telling();
            if RESERVE.hand_over(next).is_ok() {
                told.recv_timeout(PATIENCE).unwrap();
            }
        }
    }

    #[test]
    fn the_system_keeps_fifteen_bytes_of_a_name_and_no_nul() {
        assert_eq!(system_name("in-\0x").as_bytes(), b"in-x");
        assert_eq!(system_name("0123456789abcdefg").as_bytes().len(), 15);
    }
}

#[cfg(test)]
#[cfg(feature = "schedules")]
mod schedules {
    use shuttle::thread;

    use super::*;
    use crate::sync::shim::bounded;
    use crate::sync::{Time, explore};

    /// The clock and a job may come at the same moment: the job is run.
    #[test]
    fn no_job_is_lost_to_a_thread_that_is_about_to_end() {
        explore(Time::Passes, || {
            let reserve = Arc::new(Reserve::new(1, SPARE_TIME));
            let serving = reserve.clone();
            let first = Job::new(1, "first", || ());
            let serving = thread::spawn(move || serving.serve(first));
            for number in [2, 3] {
                let (tell, told) = bounded(1);
                let next = Job::new(number, "next", move || tell.try_send(()).unwrap());
                if reserve.hand_over(next).is_ok() {
                    told.recv().unwrap();
                }
            }
            serving.join().unwrap();
        });
    }
}
