//! A metrics page read at intervals on a thread of its own, and once more whenever asked.
//!
//! A page that can't be read leaves a gap and a note, never a zero. Assigns no meaning to the values.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use llem_core::server::Reading;
use serde::{Deserialize, Serialize};

use crate::{
    clock::now_ns,
    probe::{ProbeError, probe},
    prometheus::{Series, read_series},
    target::Target,
};

/// All readings of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scrapes {
    /// In the order of time.
    pub readings: Vec<Reading>,
    /// Readings that failed.
    pub failures: u64,
    /// What the last failure was, for people.
    pub last_failure: Option<String>,
}

/// Where and what to read.
#[derive(Clone, Debug)]
pub struct ScrapePlan {
    /// The server.
    pub target: Target,
    /// Path of the page below the target's base path.
    pub path: String,
    /// The series to keep.
    pub series: Vec<Series>,
    /// Time from one reading to the next.
    pub interval: Duration,
}

/// The longest wait for a page.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A running scraper.
#[derive(Debug)]
pub struct Scraper {
    /// Each asks for a reading at once and is told when it is done.
    orders: Sender<Sender<()>>,
    thread: thread::JoinHandle<Scrapes>,
}

impl Scraper {
    /// Starts to read, at once and then at each interval.
    pub fn start(plan: ScrapePlan) -> std::io::Result<Self> {
        let (orders, inbox) = mpsc::channel::<Sender<()>>();
        let thread = thread::Builder::new().name("llem-scrape".to_owned()).spawn(move || {
            let mut scrapes = Scrapes::default();
            let mut next = Instant::now();
            loop {
                match inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
                    Ok(done) => {
                        scrapes.add(scrape(&plan));
                        // Whoever asked may have gone.
                        let _: Result<(), _> = done.send(());
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        scrapes.add(scrape(&plan));
                        // A slow page delays the next reading, it doesn't let readings pile up.
                        next = (next + plan.interval).max(Instant::now());
                    }
                    Err(RecvTimeoutError::Disconnected) => return scrapes,
                }
            }
        })?;
        Ok(Self { orders, thread })
    }

    /// Reads once more, now: at the edges of a window. Returns when the reading is done.
    pub fn read_now(&self) {
        let (done, wait) = mpsc::channel();
        if self.orders.send(done).is_ok() {
            // An error means that the thread has ended, and with it the readings.
            let _: Result<(), _> = wait.recv();
        }
    }

    /// Ends the readings and returns them.
    pub fn stop(self) -> Scrapes {
        // The thread ends on a closed channel.
        drop(self.orders);
        self.thread.join().unwrap_or_default()
    }
}

impl Scrapes {
    fn add(&mut self, result: Result<Reading, String>) {
        match result {
            Ok(reading) => self.readings.push(reading),
            Err(failure) => {
                self.failures += 1;
                self.last_failure = Some(failure);
            }
        }
    }
}

fn scrape(plan: &ScrapePlan) -> Result<Reading, String> {
    let asked_ns = now_ns();
    let answer =
        probe(&plan.target, "GET", &plan.path, None, TIMEOUT).map_err(|error: ProbeError| {
            let cause = std::error::Error::source(&error)
                .map_or_else(String::new, |cause| format!(": {cause}"));
            format!("{error}{cause}")
        })?;
    let at_ns = now_ns();
    if answer.status != 200 {
        return Err(format!("the metrics page answered with status {}", answer.status));
    }
    let values = read_series(&String::from_utf8_lossy(&answer.body), &plan.series);
    Ok(Reading { asked_ns, at_ns, values })
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn readings_are_taken_when_asked_and_failures_are_kept_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::at(listener.local_addr().unwrap(), "");
        let server = thread::spawn(move || {
            for answer in [
                "200 OK\r\ncontent-length: 9\r\n\r\nrunning 3",
                "500 No\r\ncontent-length: 0\r\n\r\n",
            ] {
                let (mut stream, _) = listener.accept().unwrap();
                let read = stream.read(&mut [0; 1024]).unwrap();
                assert!(read > 0);
                stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).unwrap();
            }
        });
        let series = Series {
            name: "running".into(),
            labels: vec![],
            target: "requests-running".into(),
            scale: 2.0,
        };
        let interval = Duration::from_hours(1);
        let scraper = Scraper::start(ScrapePlan {
            target,
            path: "/metrics".into(),
            series: vec![series],
            interval,
        })
        .unwrap();
        scraper.read_now();
        server.join().unwrap();
        let scrapes = scraper.stop();
        assert_eq!(scrapes.readings.len(), 1);
        assert_eq!(
            scrapes.readings[0].values,
            BTreeMap::from([("requests-running".to_owned(), 6.0)])
        );
        assert_eq!(scrapes.failures, 1);
        assert_eq!(
            scrapes.last_failure.as_deref(),
            Some("the metrics page answered with status 500")
        );
    }
}
