//! Which trials are still to run, at a constant cost for each that is done.

use llem_core::schedule::Trial;

/// The trials of a plan that are still open, in their order.
#[derive(Debug)]
pub(super) struct Agenda {
    /// Experiments of all places of the schedule.
    experiments: Vec<usize>,
    /// Places in the order in which they are taken.
    order: Vec<usize>,
    cursor: usize,
    done: Vec<bool>,
    /// By experiment.
    enough: Vec<bool>,
    open: Vec<usize>,
    left: usize,
}

impl Agenda {
    /// All trials of a plan; `first` says which are taken before all others.
    pub(super) fn new(
        trials: &[Trial],
        experiments: usize,
        first: impl Fn(&Trial) -> bool,
    ) -> Self {
        let mut order: Vec<usize> = (0..trials.len()).collect();
        order.sort_by_key(|place| !first(&trials[*place]));
        let mut open = vec![0; experiments];
        for trial in trials {
            open[trial.experiment] += 1;
        }
        Self {
            experiments: trials.iter().map(|it| it.experiment).collect(),
            order,
            cursor: 0,
            done: vec![false; trials.len()],
            enough: vec![false; experiments],
            open,
            left: trials.len(),
        }
    }

    /// How many are still to run.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// How many of those that are still to run something holds for.
    pub(super) fn left_where(&self, holds: impl Fn(usize) -> bool) -> usize {
        (0..self.done.len()).filter(|it| self.is_open(*it) && holds(*it)).count()
    }

    /// A trial has its record.
    pub(super) fn finish(&mut self, place: usize) {
        if !std::mem::replace(&mut self.done[place], true) {
            let experiment = self.experiments[place];
            self.open[experiment] -= 1;
            self.left -= usize::from(!self.enough[experiment]);
        }
    }

    /// An experiment needs no further trial.
    pub(super) fn has_enough(&mut self, experiment: usize) {
        if !std::mem::replace(&mut self.enough[experiment], true) {
            self.left -= self.open[experiment];
        }
    }

    /// The next open trial in order.
    pub(super) fn next(&mut self) -> Option<usize> {
        while self.order.get(self.cursor).is_some_and(|it| !self.is_open(*it)) {
            self.cursor += 1;
        }
        self.order.get(self.cursor).copied()
    }

    /// The first open trial but `place`, for which something holds.
    pub(super) fn first(
        &self,
        place: Option<usize>,
        holds: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let rest = self.order[self.cursor..].iter().copied();
        rest.filter(|it| Some(*it) != place && self.is_open(*it)).find(|it| holds(*it))
    }

    /// Experiments that may still be repeated.
    pub(super) fn experiments(&self) -> impl Iterator<Item = usize> {
        (0..self.open.len()).filter(|it| self.open[*it] > 0 && !self.enough[*it])
    }

    fn is_open(&self, place: usize) -> bool {
        !self.done[place] && !self.enough[self.experiments[place]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_are_taken_in_order_until_their_experiment_has_enough() {
        let trial = |(position, experiment)| Trial { experiment, repeat: 0, position };
        let trials: Vec<Trial> = [0, 1, 0, 1, 0].into_iter().enumerate().map(trial).collect();
        let mut agenda = Agenda::new(&trials, 2, |_| true);
        assert_eq!((agenda.next(), agenda.left()), (Some(0), 5));
        agenda.finish(0);
        agenda.has_enough(0);
        assert_eq!((agenda.next(), agenda.left()), (Some(1), 2));
        assert_eq!(agenda.first(Some(1), |_| true), Some(3));
        assert_eq!(agenda.left_where(|place| place > 1), 1);
        agenda.finish(3);
        agenda.finish(1);
        assert_eq!((agenda.next(), agenda.left()), (None, 0));
        assert_eq!(agenda.experiments().count(), 0);
    }

    #[test]
    fn what_comes_first_is_taken_first() {
        let trials: Vec<Trial> =
            (0..4).map(|it| Trial { experiment: 0, repeat: 0, position: it }).collect();
        let mut agenda = Agenda::new(&trials, 1, |it| it.position % 2 == 1);
        assert_eq!(agenda.next(), Some(1));
    }
}
