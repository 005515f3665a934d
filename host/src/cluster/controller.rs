//! The submitting side: makes shards, submits them, follows their journals, merges, and tries again what was lost.
//!
//! It may die at any time and be started again: what it decided is in the ledger, what tasks did in their journals. It
//! measures nothing.

mod again;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use llem_core::{
    event::Event,
    record::Record,
    schedule::Trial,
    shard::{Need, Shard},
    study::ExecutorSettings,
};

use super::{
    attempts,
    executor::{Executor, ExecutorError, Job, Task, TaskState},
    ledger::{Decision, Ledger, Plan},
    merge::Merger,
    rounds,
    shards::{self, Common, Invocation},
    state::{Counts, Jobs, ShardState, Status},
};
use crate::{
    diagnostics::Failure,
    exit::ExitStatus,
    planning::Planned,
    runner::{Cancel, Progress, finished_event},
    store::{Header, Results, ResultsError},
};

/// The longest that a busy cluster is left alone, unless the user wants it longer.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How often it is looked whether the user wants to stop.
const LOOK: Duration = Duration::from_millis(50);
/// Blocks that wait in memory before they are merged.
const MERGED_AT_ONCE: usize = 500;
/// A task that the queue has not shown this often has ended.
const MISSING: u32 = 2;

/// What the command line says beside the study.
pub(crate) struct Options<'a> {
    pub(crate) executor: &'a dyn Executor,
    pub(crate) settings: ExecutorSettings,
    pub(crate) invocation: Invocation,
    /// Program that tasks run.
    pub(crate) llem: String,
    /// Time between two looks.
    pub(crate) poll: Duration,
    /// Submit and leave.
    pub(crate) detach: bool,
    /// Try again what failed or was given up.
    pub(crate) retry_failed: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) completed: u32,
    pub(crate) failed: u32,
    /// Trials that no task could finish.
    pub(crate) left: u32,
    /// The user closed it, or wanted to submit only: jobs go on.
    pub(crate) jobs_go_on: bool,
}

/// The scripts of the first round, without submitting anything.
pub(crate) fn dry_run(
    planned: &Planned,
    results: &Path,
    options: &Options<'_>,
) -> Result<Vec<String>, Failure> {
    let needs = rounds::needs(planned, &options.settings)?;
    let trials = rounds::trials(planned, 0, planned.study.measure().repeats.min, |_| false);
    let found = rounds::shards(&needs, &trials, &options.settings, 0);
    let of = |(number, shard): (u32, &Shard)| {
        let plan = rounds::plan(planned, shard, &trials, &options.settings);
        ShardState::new(plan, shards::directory(results, number))
    };
    let states: Vec<ShardState> = (0..).zip(&found).map(of).collect();
    let batches = batches(&states, options.executor.most_tasks());
    let names = (0..).map(|it: u32| format!("llem-{}-dry-{it}", planned.study.name()));
    let job = |(shards, name): (Vec<usize>, String)| {
        options.executor.script(&job(&states, &shards, name, results, &[], options))
    };
    Ok(batches.into_iter().zip(names).map(job).collect())
}

/// Carries a study out on a cluster.
pub(crate) fn run(
    planned: &Planned,
    header: &Header,
    results: &mut Results,
    earlier: &[Record],
    options: &Options<'_>,
    cancel: &Cancel,
    emit: &mut dyn FnMut(Event),
) -> Result<Outcome, Failure> {
    // Tasks are told whole paths.
    let root = results.path().canonicalize().map_err(|it| unwritable(results.path(), &it))?;
    let (ledger, decisions) = open(&root)?;
    let mut controller = Controller {
        planned,
        options,
        common: Common::new(planned, header, &options.invocation, options.settings.tries),
        needs: rounds::needs(planned, &options.settings)?,
        token: shards::hash(&root.display().to_string())[..8].to_owned(),
        root,
        merger: Merger::new(results, earlier),
        ledger,
        progress: Progress::new(planned.study.measure(), false),
        shards: Vec::new(),
        jobs: Jobs::new(),
        job_count: 0,
        excluded: Vec::new(),
        next_block: 0,
        next_repeat: 0,
        outcome: Outcome::default(),
        is_unreachable: false,
        emit,
    };
    controller.replay(decisions, earlier);
    if options.retry_failed {
        controller.retry(earlier)?;
    }
    controller.announce();
    controller.follow(cancel)
}

struct Controller<'a> {
    planned: &'a Planned,
    options: &'a Options<'a>,
    common: Common<'a>,
    needs: Vec<Need>,
    /// Makes the names of this study's jobs unique.
    token: String,
    root: PathBuf,
    merger: Merger<'a>,
    ledger: Ledger,
    progress: Progress<'a>,
    shards: Vec<ShardState>,
    jobs: Jobs,
    job_count: usize,
    excluded: Vec<String>,
    next_block: u32,
    next_repeat: u32,
    outcome: Outcome,
    /// The scheduler did not answer last time.
    is_unreachable: bool,
    emit: &'a mut dyn FnMut(Event),
}

impl Controller<'_> {
    fn announce(&mut self) {
        let finished_before = self.merger.count();
        let trials = self.planned.schedule.trials.iter();
        let least = self.planned.study.measure().repeats.min.max(self.next_repeat);
        let trials = trials.filter(|it| it.repeat < least).count();
        (self.emit)(Event::StudyStarted {
            study: self.planned.study.name().to_owned(),
            results: self.merger.results.path().display().to_string(),
            experiments: count(self.planned.expansion.experiments.len()),
            trials: count(trials.saturating_sub(finished_before)),
            finished_before: count(finished_before),
        });
    }

    fn follow(&mut self, cancel: &Cancel) -> Result<Outcome, Failure> {
        let mut shown = None;
        loop {
            if self.shards.iter().all(ShardState::is_settled) && !self.next_round()? {
                break;
            }
            self.submit()?;
            if self.options.detach {
                self.outcome.jobs_go_on = true;
                return Ok(self.outcome);
            }
            let asked = Instant::now();
            self.look()?;
            let counts = Counts::of(&self.shards);
            if shown != Some(counts) {
                shown = Some(counts);
                (self.emit)(Event::Shards {
                    waiting: counts.waiting,
                    running: counts.running,
                    complete: counts.complete,
                    given_up: counts.given_up,
                });
            }
            if let Some(reason) = self.limit() {
                self.warn(format!("the study ends early: {reason}"));
                self.stop_jobs();
                break;
            }
            if self.shards.iter().all(ShardState::is_settled) {
                continue;
            }
            // A cluster with much to say is asked less often, but no user waits for long to see what became of it.
            let pause = self.options.poll.max((10 * asked.elapsed()).min(LONGEST_PAUSE));
            let until = Instant::now() + pause;
            while Instant::now() < until && !cancel.is_wanted() {
                thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
            }
            if cancel.is_wanted() {
                self.outcome.jobs_go_on = true;
                return Ok(self.outcome);
            }
        }
        Ok(self.finish())
    }

    /// Makes the shards of the next round; false where no trial is needed any more.
    fn next_round(&mut self) -> Result<bool, Failure> {
        let repeats = &self.planned.study.measure().repeats;
        let until = if self.next_repeat == 0 { repeats.min } else { self.next_repeat + 1 };
        if self.next_repeat >= repeats.max {
            return Ok(false);
        }
        let progress = &self.progress;
        let trials =
            rounds::trials(self.planned, self.next_repeat, until, |it| progress.has_enough(it));
        if trials.is_empty() {
            return Ok(false);
        }
        self.add_shards(&trials, |shards| Decision::Round { shards, until_repeat: until })?;
        self.next_repeat = until;
        Ok(true)
    }

    /// Splits trials into shards that are numbered on, and decides on them.
    fn add_shards(
        &mut self,
        trials: &[Trial],
        decision: impl FnOnce(Vec<Plan>) -> Decision,
    ) -> Result<(), Failure> {
        let found = rounds::shards(&self.needs, trials, &self.options.settings, self.next_block);
        let first = self.shards.len();
        let mut plans = Vec::new();
        for (number, shard) in (first..).zip(&found) {
            self.write_shard(count(number), shard, trials)?;
            plans.push(rounds::plan(self.planned, shard, trials, &self.options.settings));
        }
        self.decide(&decision(plans.clone()))?;
        for plan in plans {
            self.add_shard(plan);
        }
        Ok(())
    }

    fn write_shard(&self, number: u32, shard: &Shard, trials: &[Trial]) -> Result<(), Failure> {
        let directory = shards::directory(&self.root, number);
        std::fs::create_dir_all(&directory).map_err(|it| unwritable(&directory, &it))?;
        let file = self.common.file(number, shard, trials);
        let text = serde_json::to_vec(&file).expect("shards have string keys only");
        let path = directory.join("shard.json");
        // Tasks read it only after the round is in the ledger, so that it need not appear at once.
        std::fs::write(&path, text).map_err(|it| unwritable(&path, &it))
    }

    fn add_shard(&mut self, plan: Plan) {
        let directory = shards::directory(&self.root, count(self.shards.len()));
        self.next_block += count(plan.blocks.len());
        self.shards.push(ShardState::new(plan, directory));
    }

    /// Submits what is open.
    fn submit(&mut self) -> Result<(), Failure> {
        for batch in batches(&self.shards, self.options.executor.most_tasks()) {
            let name =
                format!("llem-{}-{}-{}", self.planned.study.name(), self.token, self.job_count);
            let job =
                job(&self.shards, &batch, name.clone(), &self.root, &self.excluded, self.options);
            let lines: Vec<String> = job.shards.iter().map(|it| it.display().to_string()).collect();
            std::fs::write(&job.list, lines.join("\n") + "\n")
                .map_err(|it| unwritable(&job.list, &it))?;
            let shards = batch.iter().map(|it| count(*it)).collect();
            self.decide(&Decision::Job { name: name.clone(), shards })?;
            self.job_count += 1;
            match self.options.executor.submit(&job) {
                Ok(()) => (),
                // Nothing of this study is under way: most likely the options are wrong.
                Err(error) if self.jobs.is_empty() => return Err(refused(&error)),
                Err(error) => {
                    self.warn(format!("{error}; it is tried again"));
                    continue;
                }
            }
            for shard in &batch {
                self.shards[*shard].status = Status::Submitted;
                self.shards[*shard].missing = 0;
            }
            self.jobs.insert(name, batch);
        }
        Ok(())
    }

    /// Asks the scheduler, reads the journals of tasks that run or ended, and merges.
    fn look(&mut self) -> Result<(), Failure> {
        let names: Vec<&str> = self.jobs.keys().map(String::as_str).collect();
        let tasks = match self.options.executor.poll(&names) {
            Ok(tasks) => {
                self.is_unreachable = false;
                tasks
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_unreachable, true) {
                    self.warn(format!("{error}; tasks are followed by their journals"));
                }
                // Journals tell of what is complete, but nobody of what has failed.
                return self.read((0..self.shards.len()).collect());
            }
        };
        let active = self.place(&tasks);
        self.read(active)?;
        self.judge()
    }

    /// Takes over what the scheduler says; gives the shards whose journals may have grown.
    fn place(&mut self, tasks: &[Task]) -> Vec<usize> {
        let mut states: BTreeMap<usize, &TaskState> = BTreeMap::new();
        for task in tasks {
            let shard = self.jobs.get(&task.job).and_then(|it| it.get(task.index)).copied();
            let Some(shard) = shard else { continue };
            // A shard may be in several jobs, where a task of an earlier one has ended.
            let is_better = |known: &&TaskState| matches!(known, TaskState::Ended(_));
            if states.get(&shard).is_none_or(is_better) {
                states.insert(shard, &task.state);
            }
        }
        let mut active = Vec::new();
        for (at, shard) in self.shards.iter_mut().enumerate() {
            if shard.is_settled() || shard.status == Status::Open {
                continue;
            }
            match states.get(&at) {
                Some(TaskState::Running) => {
                    (shard.status, shard.missing) = (Status::Running, 0);
                    active.push(at);
                }
                Some(TaskState::Waiting(_)) => {
                    (shard.status, shard.missing) = (Status::Submitted, 0);
                }
                Some(TaskState::Ended(reason)) => {
                    shard.reason.clone_from(reason);
                    shard.missing += 1;
                    active.push(at);
                }
                None => {
                    shard.missing += 1;
                    active.push(at);
                }
            }
        }
        active
    }

    /// Reads what is new of these shards, and merges the blocks that are complete.
    fn read(&mut self, active: Vec<usize>) -> Result<(), Failure> {
        let mut blocks = Vec::new();
        for at in active {
            let shard = &mut self.shards[at];
            if !shard.is_settled() {
                attempts::discover(&shard.directory, &mut shard.attempts);
                shard.attempts.iter_mut().for_each(attempts::Attempt::refresh);
                blocks.extend(take_complete(shard));
            }
            if blocks.len() >= MERGED_AT_ONCE {
                self.take_over(std::mem::take(&mut blocks))?;
            }
        }
        self.take_over(blocks)
    }

    fn take_over(&mut self, blocks: Vec<(PathBuf, Vec<Record>)>) -> Result<(), Failure> {
        for record in self.merger.add(blocks).map_err(|it| unmerged(&it))? {
            self.progress.add(&record);
            if record.is_completed() {
                self.outcome.completed += 1;
            } else {
                self.outcome.failed += 1;
            }
            (self.emit)(finished_event(&record));
            for message in &record.warnings {
                (self.emit)(Event::Warning { message: message.clone() });
            }
        }
        Ok(())
    }

    /// Decides about shards whose tasks have ended before they were complete.
    fn judge(&mut self) -> Result<(), Failure> {
        for at in 0..self.shards.len() {
            let shard = &self.shards[at];
            if shard.is_settled() || shard.status == Status::Open || shard.missing < MISSING {
                continue;
            }
            let refusal = shard.attempts.last().and_then(|it| it.refused.clone());
            let fault = shard.attempts.last().and_then(|it| it.fault.clone());
            let state = if shard.reason.is_empty() { "gone" } else { shard.reason.as_str() };
            let reason = refusal.as_ref().map(|it| format!("{}: {}", it.node, it.reason));
            let reason = reason.or(fault).unwrap_or_else(|| state.to_owned());
            self.decide(&Decision::Ended { shard: count(at), reason: reason.clone() })?;
            if let Some(refusal) = refusal.filter(|it| it.is_of_node)
                && !self.excluded.contains(&refusal.node)
            {
                let (node, reason) = (refusal.node, refusal.reason);
                self.warn(format!("the node `{node}` is not used any more: {reason}"));
                self.decide(&Decision::Excluded { node: node.clone(), reason })?;
                self.excluded.push(node);
            }
            let tries = self.options.settings.tries;
            let shard = &mut self.shards[at];
            shard.ended += 1;
            (shard.missing, shard.reason) = (0, String::new());
            let tried = shard.tries();
            if tried < tries {
                shard.status = Status::Open;
                self.warn(format!(
                    "shard {at} ended unfinished ({reason}); try {} of {tries}",
                    tried + 1
                ));
            } else {
                shard.status = Status::GivenUp;
                let log = self.log(at);
                self.warn(format!("shard {at} is given up after {tried} tries: {reason}{log}"));
                self.keep_what_is_there(at)?;
            }
        }
        // Jobs of which nothing is expected any more need not be asked for.
        let shards = &self.shards;
        self.jobs.retain(|_, own| {
            own.iter().any(|it| matches!(shards[*it].status, Status::Submitted | Status::Running))
        });
        Ok(())
    }

    /// Where the last task of a shard printed.
    fn log(&self, at: usize) -> String {
        let logs = self.root.join("cluster/logs");
        let place = |(job, own): (&String, &Vec<usize>)| {
            let index = own.iter().position(|it| *it == at)?;
            Some(format!("; it printed {}", self.options.executor.log(&logs, job, index).display()))
        };
        self.jobs.iter().rev().find_map(place).unwrap_or_default()
    }

    /// Merges what the best attempt at each unfinished block has.
    fn keep_what_is_there(&mut self, at: usize) -> Result<(), Failure> {
        for block in 0..self.shards[at].plan.blocks.len() {
            if self.shards[at].merged[block] {
                continue;
            }
            let shard = &mut self.shards[at];
            let trials = &shard.plan.blocks[block].1;
            let has = |it: &attempts::Attempt| {
                trials.iter().filter(|trial| it.recorded.contains(trial)).count()
            };
            let Some(best) = shard.attempts.iter_mut().max_by_key(|it| has(it)) else {
                return Ok(());
            };
            let kept = (best.path.clone(), best.take(trials));
            self.take_over(vec![kept])?;
        }
        Ok(())
    }

    /// Which of the study's limits is reached.
    fn limit(&self) -> Option<&'static str> {
        let limits = self.planned.study.limits();
        let spent = self.progress.spent();
        if limits.energy_joules.is_some_and(|it| spent.joules >= it) {
            return Some("the study's energy is used up");
        }
        let is_long = limits.study.is_some_and(|it| spent.seconds >= it.as_secs_f64());
        is_long.then_some("the study's time is used up")
    }

    fn stop_jobs(&mut self) {
        let names: Vec<&str> = self.jobs.keys().map(String::as_str).collect();
        if let Err(error) = self.options.executor.cancel(&names) {
            self.warn(error.to_string());
        }
    }

    fn finish(&mut self) -> Outcome {
        let unmerged = self.shards.iter().flat_map(|it| &it.plan.blocks).flat_map(|(_, it)| it);
        let missing = unmerged.filter(|it| !self.merger.has(it));
        // Repeats of what can't work are not owed.
        let owed = missing.filter(|it| !self.progress.has_enough(&it.experiment)).count();
        self.outcome.left = count(owed);
        // What was tried again may have run on.
        let mut twice = 0;
        for shard in self.shards.iter_mut().filter(|it| it.ended > 0 || it.attempts.len() > 1) {
            attempts::discover(&shard.directory, &mut shard.attempts);
            for attempt in &mut shard.attempts {
                attempt.refresh();
            }
            twice += duplicates(shard);
        }
        if twice > 0 {
            self.warn(format!(
                "{twice} blocks were run twice; the first complete one of each is kept"
            ));
        }
        (self.emit)(Event::StudyFinished {
            completed: self.outcome.completed,
            failed: self.outcome.failed,
            left: self.outcome.left,
        });
        self.outcome
    }

    fn decide(&mut self, decision: &Decision) -> Result<(), Failure> {
        let path = self.merger.results.path().join("cluster/ledger.jsonl");
        self.ledger.add(decision).map_err(|it| unwritable(&path, &it))
    }

    fn warn(&mut self, message: String) {
        (self.emit)(Event::Warning { message });
    }
}

/// The blocks of a shard that have become complete, each from the first such attempt.
fn take_complete(shard: &mut ShardState) -> Vec<(PathBuf, Vec<Record>)> {
    let mut blocks = Vec::new();
    for (merged, (number, trials)) in shard.merged.iter_mut().zip(&shard.plan.blocks) {
        let complete = |it: &&mut attempts::Attempt| it.has_block(*number, trials);
        if !*merged && let Some(attempt) = shard.attempts.iter_mut().find(complete) {
            blocks.push((attempt.path.clone(), attempt.take(trials)));
            *merged = true;
        }
    }
    if shard.merged.iter().all(|it| *it) {
        shard.status = Status::Complete;
    }
    blocks
}

/// Complete executions of blocks beyond the first.
fn duplicates(shard: &ShardState) -> u32 {
    let more = |(number, trials): &(u32, Vec<_>)| {
        let complete = shard
            .attempts
            .iter()
            .filter(|it| it.has_block(*number, trials) && !it.recorded.is_empty());
        count(complete.count().saturating_sub(1))
    };
    shard.plan.blocks.iter().map(more).sum()
}

/// Open shards that one job may hold: the same resources, no more than an array takes.
fn batches(shards: &[ShardState], most: usize) -> Vec<Vec<usize>> {
    let mut by_need: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
    for (at, shard) in shards.iter().enumerate().filter(|(_, it)| it.status == Status::Open) {
        by_need.entry((shard.plan.gpus, shard.plan.minutes)).or_default().push(at);
    }
    by_need
        .into_values()
        .flat_map(|all| all.chunks(most).map(<[usize]>::to_vec).collect::<Vec<_>>())
        .collect()
}

fn job(
    shards: &[ShardState],
    batch: &[usize],
    name: String,
    results: &Path,
    excluded: &[String],
    options: &Options<'_>,
) -> Job {
    let Invocation { study, plugin, allow } = &options.invocation;
    let mut command = vec![options.llem.clone(), "run".to_owned(), study.display().to_string()];
    for (flag, value) in
        plugin.iter().map(|it| ("--plugin", it)).chain(allow.iter().map(|it| ("--allow", it)))
    {
        command.extend([flag.to_owned(), value.clone()]);
    }
    let first = batch.first().map(|it| &shards[*it].plan);
    Job {
        list: results.join("cluster").join(format!("{name}.txt")),
        name,
        shards: batch.iter().map(|it| shards[*it].directory.clone()).collect(),
        logs: results.join("cluster/logs"),
        gpus: first.map_or(0, |it| it.gpus),
        minutes: first.map_or(1, |it| it.minutes),
        excluded: excluded.to_vec(),
        command,
        resources: options.settings.clone(),
    }
}

fn open(results: &Path) -> Result<(Ledger, Vec<Decision>), Failure> {
    let logs = results.join("cluster/logs");
    std::fs::create_dir_all(&logs).map_err(|it| unwritable(&logs, &it))?;
    let path = results.join("cluster/ledger.jsonl");
    Ledger::open(&path).map_err(|it| unwritable(&path, &it))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::message(
        ExitStatus::Environment,
        format!("failed to use `{}`: {error}", path.display()),
    )
}

fn unmerged(error: &ResultsError) -> Failure {
    Failure::new(ExitStatus::Environment, error)
}

fn refused(error: &ExecutorError) -> Failure {
    Failure::new(ExitStatus::Environment, error)
        .hint("`--dry-run` prints what is submitted; `[executor]` in the study has partition, account and options")
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("usize has at least 32 bits")
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
