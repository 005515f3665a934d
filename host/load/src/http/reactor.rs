//! The loop: waits for sockets and the next due time, reads, sends, keeps the log.
//!
//! A place of a closed loop that becomes free is filled at once; requests that are due by the clock are
//! sent after a few sockets have been read, however many are ready.

use std::{
    collections::VecDeque,
    io,
    iter::Peekable,
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    thread,
    time::Duration,
};

use llem_core::{
    latency::{CpuSample, Request, RequestLog, Status},
    workload::first_output_tokens,
};
use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventData, EventFlags},
    io::Errno,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create,
        timerfd_settime,
    },
};

use super::{
    Control, LoadError, Plan, Stop,
    body::{Prepared, Writer},
    connection::{Connection, Phase, Received, begin_connect},
    exchange::End,
    receive::Stamps,
    surroundings,
};
use crate::{
    clock::{duration_ns, now_ns, thread_cpu_ns, timespec},
    tls::{Tls, Trust},
};

/// How often orders, timeouts and processor time are looked at.
const TICK_NS: u64 = 100_000_000;
/// How long a place of a closed loop rests after a failure, so that a dead server is not hammered.
const REST_NS: u64 = 100_000_000;
/// Room for the bytes of one read.
const BUFFER_BYTES: usize = 64 * 1024;
/// Readiness events taken in one turn.
const EVENTS: usize = 1024;
/// Wake-ups that follow each other within this time for fewer than `FEW` sockets make the loop pause, so that one
/// wake-up serves several sockets. Only where the kernel stamps arrivals, since the times then don't depend on the
/// pause, and only while no answer is about to end, since its place of a closed loop would wait.
const SOON_NS: u64 = 2_000_000;
const FEW: usize = 64;
/// The longest pause, and the shortest that is worth its own wake-up.
const PAUSE_NS: u64 = 1_000_000;
const LEAST_PAUSE_NS: u64 = 50_000;
/// A pause is at most this part of a request, for answers that end without warning.
const PAUSE_PART: u64 = 1000;
/// Sockets that are read before it is looked again whether a request is due: a thousand take several milliseconds.
const READ_AT_ONCE: usize = 16;
/// Requests made ahead where the plan has no concurrency.
const PREPARED: usize = 64;
/// Marks the timer among the events.
const TIMER: u64 = u64::MAX;

/// A request that is due.
struct Due {
    scheduled_ns: u64,
    /// The turn that follows in a session; none: any new session.
    turn: Option<Turn>,
}

/// A request that is ready to be sent.
#[derive(Debug)]
pub(super) struct Turn {
    index: u64,
    prepared: Prepared,
}

pub(super) struct Reactor<'a> {
    plan: &'a Plan,
    control: &'a Control,
    writer: Writer,
    address: SocketAddr,
    /// Where connections are encrypted.
    trust: Option<Trust>,
    arrivals: Peekable<Box<dyn Iterator<Item = Duration>>>,
    is_closed_loop: bool,
    epoll: OwnedFd,
    timer: OwnedFd,
    armed_for_ns: u64,
    next_tick_ns: u64,
    started_ns: u64,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    idle: Vec<usize>,
    in_flight: usize,
    /// Requests that are due and not sent.
    due: VecDeque<Due>,
    /// When places of the closed loop whose request failed are free again.
    resting: VecDeque<u64>,
    /// Index of the next session that was not prepared; a request without turns is a session of its own.
    next_index: u64,
    /// Places of a staggered closed loop whose first request is made.
    begun: u32,
    sent: u64,
    /// First turns of sessions.
    prepared: VecDeque<Turn>,
    prepared_ahead: usize,
    /// Deadline, connection and request, in the order of dispatch.
    deadlines: VecDeque<(u64, usize, u64)>,
    buffer: Vec<u8>,
    stamps: Stamps,
    woken_ns: u64,
    is_busy: bool,
    /// Answers whose next token is the last.
    ending: usize,
    /// How long a request lately took; 0 before the first has ended.
    request_ns: u64,
    log: RequestLog,
}

impl<'a> Reactor<'a> {
    /// Gets everything ready that can be refused or takes time.
    pub(super) fn prepare(plan: &'a Plan, control: &'a Control) -> Result<Self, LoadError> {
        surroundings::raise_descriptor_limit(plan.arrival.concurrency())?;
        let notes = surroundings::place_thread(plan)?;
        let address = plan.target.resolve()?[0];
        let trust = plan.target.trust()?;
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).map_err(system("wait for sockets"))?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )
        .map_err(system("make a timer"))?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)
            .map_err(system("watch its timer"))?;
        let concurrency = plan.arrival.concurrency();
        let ahead = concurrency
            .map_or(PREPARED, |count| usize::try_from(count).unwrap_or(usize::MAX).max(PREPARED));
        let mut reactor = Self {
            plan,
            control,
            writer: Writer::new(plan)?,
            address,
            trust,
            arrivals: arrivals(plan)?.peekable(),
            is_closed_loop: concurrency.is_some(),
            epoll,
            timer,
            armed_for_ns: 0,
            next_tick_ns: 0,
            started_ns: 0,
            connections: Vec::new(),
            vacant: Vec::new(),
            idle: Vec::new(),
            in_flight: 0,
            due: VecDeque::new(),
            resting: VecDeque::new(),
            next_index: first_session(plan),
            begun: 0,
            sent: 0,
            prepared: VecDeque::new(),
            prepared_ahead: ahead,
            deadlines: VecDeque::new(),
            buffer: vec![0; BUFFER_BYTES],
            stamps: Stamps::new(),
            woken_ns: 0,
            is_busy: false,
            ending: 0,
            request_ns: 0,
            log: RequestLog { notes, ..RequestLog::default() },
        };
        while reactor.prepare_one()? {}
        Ok(reactor)
    }

    /// Runs to the end.
    pub(super) fn run(mut self) -> Result<RequestLog, LoadError> {
        self.started_ns = now_ns();
        self.log.started_ns = self.started_ns;
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            self.tick();
            self.send_due()?;
            if self.is_over() {
                break;
            }
            self.prepare_one()?;
            self.arm_timer()?;
            self.pause_if_busy();
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(system("wait for sockets")(error)),
            }
            self.note_wake(events.len());
            for few in events.chunks(READ_AT_ONCE) {
                for event in few {
                    self.on_event(event.data.u64(), event.flags)?;
                }
                self.send_due()?;
                self.prepare_one()?;
            }
        }
        self.cancel_rest();
        self.log.requests.sort_by_key(|request| (request.dispatched_ns, request.index));
        self.sample_cpu(now_ns());
        self.log.notes.push(self.stamps.describe());
        self.log.ended_ns =
            self.log.requests.iter().map(|request| request.end_ns).max().unwrap_or(self.started_ns);
        Ok(self.log)
    }

    fn note_wake(&mut self, sockets: usize) {
        let woken_ns = now_ns();
        self.is_busy =
            self.stamps.are_kernels() && sockets < FEW && woken_ns < self.woken_ns + SOON_NS;
        self.woken_ns = woken_ns;
        self.stamps.align();
    }

    fn pause_if_busy(&self) {
        let pause_ns = PAUSE_NS.min(self.request_ns / PAUSE_PART);
        if self.is_busy
            && self.ending == 0
            && pause_ns >= LEAST_PAUSE_NS
            && now_ns() + pause_ns < self.armed_for_ns
        {
            thread::sleep(Duration::from_nanos(pause_ns));
        }
    }

    fn may_start(&self) -> bool {
        !self.control.is_draining() && self.may_send(self.sent)
    }

    fn may_prepare(&self) -> bool {
        let ahead = u64::try_from(self.prepared.len()).expect("a length fits 64 bits");
        !self.control.is_draining() && self.may_send(self.sent + ahead)
    }

    fn may_send(&self, before: u64) -> bool {
        match self.plan.stop {
            Stop::WhenTold => true,
            Stop::After(count) => before < count,
        }
    }

    fn is_over(&mut self) -> bool {
        if self.control.is_aborting() {
            return true;
        }
        let nothing_comes =
            !self.may_start() || (self.arrivals.peek().is_none() && self.resting.is_empty());
        self.in_flight == 0 && self.due.is_empty() && nothing_comes
    }

    /// When the next request is due that nothing in flight has to end for.
    fn next_due_ns(&mut self) -> Option<u64> {
        if !self.may_start() {
            return None;
        }
        let arrival =
            self.arrivals.peek().map(|offset| self.started_ns.saturating_add(duration_ns(*offset)));
        arrival.into_iter().chain(self.resting.front().copied()).min()
    }

    fn take_due(&mut self) -> Option<Due> {
        if !self.may_start() {
            self.due.clear();
            self.resting.clear();
            return None;
        }
        if let Some(due) = self.due.pop_front() {
            return Some(due);
        }
        let next_ns = self.next_due_ns().filter(|next_ns| *next_ns <= now_ns())?;
        if self.resting.pop_front_if(|rested_ns| *rested_ns == next_ns).is_none() {
            self.arrivals.next();
        }
        Some(Due { scheduled_ns: next_ns, turn: None })
    }

    fn send_due(&mut self) -> Result<(), LoadError> {
        while let Some(due) = self.take_due() {
            self.dispatch(due)?;
        }
        Ok(())
    }

    fn dispatch(&mut self, due: Due) -> Result<(), LoadError> {
        let Turn { index, prepared } = match due.turn {
            Some(turn) => turn,
            None => match self.prepared.pop_front() {
                Some(turn) => turn,
                None => self.new_session()?,
            },
        };
        let dispatched_ns = now_ns();
        let mut request = Request::scheduled(index, due.scheduled_ns);
        request.dispatched_ns = Some(dispatched_ns);
        self.sent += 1;
        self.in_flight += 1;
        self.control.count_dispatch();
        let slot = if let Some(slot) = self.idle.pop() {
            if let Some(connection) = &mut self.connections[slot] {
                connection.phase = Phase::Writing;
                connection.exchange.renew(request, prepared);
            }
            slot
        } else {
            match self.connect() {
                Ok((stream, tls)) => self.adopt(Connection::new(stream, tls, request, prepared))?,
                Err(error) => {
                    request.status = Status::ConnectFailed;
                    request.detail = Some(error.to_string());
                    request.end_ns = now_ns();
                    self.record(request, None);
                    return Ok(());
                }
            }
        };
        self.deadlines.push_back((
            dispatched_ns.saturating_add(duration_ns(self.plan.request_timeout)),
            slot,
            index,
        ));
        if self.connections[slot]
            .as_ref()
            .is_some_and(|connection| connection.phase == Phase::Writing)
        {
            self.write(slot);
        }
        // The answer takes longer than this does.
        if self.plan.workload.turns_after(index) > 0 {
            let follows = self.turn(index + 1)?;
            if let Some(connection) = &mut self.connections[slot] {
                connection.exchange.follows = Some(follows);
            }
        }
        Ok(())
    }

    fn connect(&self) -> io::Result<(TcpStream, Option<Tls>)> {
        let tls = self.trust.as_ref().map(Trust::connect).transpose().map_err(io::Error::other)?;
        Ok((begin_connect(self.address)?, tls))
    }

    fn adopt(&mut self, connection: Connection) -> Result<usize, LoadError> {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let data = EventData::new_u64(u64::try_from(slot).expect("an index fits 64 bits"));
        epoll::add(&self.epoll, &connection.stream, data, EventFlags::IN | EventFlags::OUT)
            .map_err(system("watch a socket"))?;
        self.connections[slot] = Some(connection);
        Ok(slot)
    }

    fn on_event(&mut self, data: u64, flags: EventFlags) -> Result<(), LoadError> {
        if data == TIMER {
            return Ok(());
        }
        let slot = usize::try_from(data).expect("events carry indices");
        let phase = self.connections[slot].as_ref().map(|connection| connection.phase);
        if matches!(phase, Some(Phase::Connecting | Phase::Writing)) && !flags.is_empty() {
            self.write(slot);
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.read(slot)?;
        }
        Ok(())
    }

    fn write(&mut self, slot: usize) {
        let Some(connection) = &mut self.connections[slot] else { return };
        if let Err(end) = connection.write() {
            self.finish(slot, end, now_ns());
            return;
        }
        let wants_writes = connection.wants_writes();
        if wants_writes != connection.watches_writes {
            connection.watches_writes = wants_writes;
            let flags =
                if wants_writes { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            let data = EventData::new_u64(u64::try_from(slot).expect("an index fits 64 bits"));
            if let Err(error) = epoll::modify(&self.epoll, &connection.stream, data, flags) {
                let detail = std::io::Error::from(error).to_string();
                self.finish(slot, End::failure(Status::ConnectionLost, detail), now_ns());
            }
        }
    }

    fn read(&mut self, slot: usize) -> Result<(), LoadError> {
        let Some(connection) = &mut self.connections[slot] else { return Ok(()) };
        let was_idle = connection.phase == Phase::Idle;
        let (received, at_ns) = connection.read(&mut self.buffer, &mut self.stamps);
        match received {
            Received::Nothing => {}
            Received::Gain(gain) => {
                if gain.tokens > 0 {
                    self.control.count_tokens(gain.tokens);
                }
                self.ending += usize::from(gain.is_ending);
                if let Some(after_ns) = gain.first_token_after_ns {
                    self.control.count_first_token(after_ns);
                }
                if let Some(end) = gain.end {
                    self.finish(slot, end, at_ns);
                }
            }
            Received::Closed(_) if was_idle => {
                self.idle.retain(|other| *other != slot);
                self.close(slot);
            }
            Received::Closed(end) => self.finish(slot, end, at_ns),
        }
        // A handshake answers what it reads.
        let answers = |it: &Connection| it.phase == Phase::Writing || it.wants_writes();
        if self.trust.is_some() && self.connections[slot].as_ref().is_some_and(answers) {
            self.write(slot);
        }
        if self.may_start() {
            while let Some(due) = self.due.pop_front() {
                self.dispatch(due)?;
            }
        }
        Ok(())
    }

    /// Ends the exchange of a connection, and the connection with it unless it can be used again.
    fn finish(&mut self, slot: usize, end: End, at_ns: u64) {
        let Some(connection) = &mut self.connections[slot] else { return };
        let is_reusable = end.is_reusable && connection.phase == Phase::Reading;
        self.ending -= usize::from(connection.exchange.is_ending());
        let follows = connection.exchange.follows.take();
        let request = connection.exchange.settle(end, at_ns);
        if is_reusable {
            connection.phase = Phase::Idle;
            self.idle.push(slot);
        } else {
            self.close(slot);
        }
        self.record(request, follows);
    }

    fn close(&mut self, slot: usize) {
        self.connections[slot] = None;
        self.vacant.push(slot);
    }

    /// Logs a request that ended; a session goes on after an answer and ends with a failure.
    fn record(&mut self, request: Request, follows: Option<Turn>) {
        self.in_flight -= 1;
        let took_ns = request.end_ns.saturating_sub(request.scheduled_ns);
        self.request_ns =
            if self.request_ns == 0 { took_ns } else { (self.request_ns * 7 + took_ns) / 8 };
        self.control.count_end(request.is_completed());
        if request.is_completed() && (self.is_closed_loop || follows.is_some()) {
            self.due.push_back(Due { scheduled_ns: now_ns(), turn: follows });
        } else if self.is_closed_loop {
            self.resting.push_back(request.end_ns + REST_NS);
        }
        self.log.requests.push(request);
    }

    fn tick(&mut self) {
        let now = now_ns();
        if now < self.next_tick_ns {
            return;
        }
        self.next_tick_ns = now + TICK_NS;
        self.sample_cpu(now);
        while let Some((_, slot, index)) =
            self.deadlines.pop_front_if(|(deadline, ..)| *deadline <= now)
        {
            let is_in_work = self.connections[slot].as_ref().is_some_and(|connection| {
                connection.phase != Phase::Idle && connection.exchange.index() == index
            });
            if is_in_work {
                let seconds = self.plan.request_timeout.as_secs_f64();
                self.finish(
                    slot,
                    End::failure(Status::TimedOut, format!("no end within {seconds} s")),
                    now,
                );
            }
        }
    }

    fn sample_cpu(&mut self, at_ns: u64) {
        self.log.cpu.push(CpuSample { at_ns, cpu_ns: thread_cpu_ns() });
    }

    fn cancel_rest(&mut self) {
        let now = now_ns();
        for slot in 0..self.connections.len() {
            if self.connections[slot]
                .as_ref()
                .is_some_and(|connection| connection.phase != Phase::Idle)
            {
                self.finish(slot, End::failure(Status::Cancelled, "the load was stopped"), now);
            }
        }
    }

    /// Makes one more request ahead; false where there are enough.
    fn prepare_one(&mut self) -> Result<bool, LoadError> {
        let is_wanted = self.prepared.len() < self.prepared_ahead && self.may_prepare();
        if is_wanted {
            let turn = self.new_session()?;
            self.prepared.push_back(turn);
        }
        Ok(is_wanted)
    }

    /// The first turn of the next session.
    fn new_session(&mut self) -> Result<Turn, LoadError> {
        let index = self.next_index;
        let mut prompt = self.plan.workload.prompt(index);
        let places = self.plan.arrival.concurrency().filter(|_| self.plan.staggered);
        if self.begun < places.unwrap_or(0) {
            prompt.output_tokens = first_output_tokens(self.begun, prompt.output_tokens);
            self.begun += 1;
        }
        self.next_index += 1 + self.plan.workload.turns_after(index);
        Ok(Turn { index, prepared: self.writer.write(&prompt)? })
    }

    fn turn(&self, index: u64) -> Result<Turn, LoadError> {
        let prepared = self.writer.write(&self.plan.workload.prompt(index))?;
        Ok(Turn { index, prepared })
    }

    fn arm_timer(&mut self) -> Result<(), LoadError> {
        let next_ns =
            self.next_due_ns().map_or(self.next_tick_ns, |due_ns| due_ns.min(self.next_tick_ns));
        if next_ns != self.armed_for_ns {
            self.armed_for_ns = next_ns;
            let once = Itimerspec { it_interval: timespec(0), it_value: timespec(next_ns) };
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)
                .map_err(system("set its timer"))?;
        }
        Ok(())
    }
}

/// Where the first whole session begins.
fn first_session(plan: &Plan) -> u64 {
    let begun = plan.first_index.checked_sub(1).map(|before| plan.workload.turns_after(before));
    plan.first_index + begun.unwrap_or(0)
}

/// When requests are due by the plan; a closed loop has only its first ones, the others follow from ends.
fn arrivals(plan: &Plan) -> Result<Box<dyn Iterator<Item = Duration>>, LoadError> {
    if let Some(offsets) = plan.arrival.offsets(plan.seed)? {
        return Ok(Box::new(offsets));
    }
    let concurrency = plan.arrival.concurrency().unwrap_or(1);
    let gap = plan.ramp_up / concurrency;
    Ok(Box::new((0..concurrency).map(move |place| gap * place)))
}

fn system(action: &'static str) -> impl Fn(Errno) -> LoadError {
    move |error| LoadError::System { action, source: error.into() }
}
