//! Attribution of a simulated GPU's energy to phases whose true energies are known.

use llem_core::{
    energy::{Attribution, AttributionError, Step, StepShare, StepSource, Window, attribute},
    units::Watts,
};
use llem_fake_nvml::{GpuConfig, Profile, Random};

use crate::simulation::{Simulation, at};

const IDLE: f64 = 128.0;
/// Energy above idle of one prompt token, one generated token, and one token of context read.
const TRUE_COST: [f64; 3] = [0.12, 1.5, 0.002];

/// A server's steps, its power, and the true energy of prefill and decode.
struct Scene {
    simulation: Simulation,
    steps: Vec<Step>,
    truth: (f64, f64),
    window: Window,
}

fn scene(seed: u64, seconds: f64) -> Scene {
    let mut random = Random::new(seed);
    let (mut power, mut spans) = (Profile::constant(IDLE), Vec::new());
    let (mut at_seconds, mut truth, mut place) = (4.0, (0.0, 0.0), 0_usize);
    while at_seconds < 4.0 + seconds {
        let prompt = 200 + random.bits() % 1_800;
        let share = StepShare {
            request: place % 40,
            prefill_tokens: prompt,
            decode_tokens: 0,
            context_tokens: 0,
        };
        let pause = 0.05 + 0.3 * random.unit();
        push(&mut power, &mut spans, (&mut at_seconds, 0.03 + 0.1 * random.unit()), vec![share]);
        power.steps.push((at_seconds, IDLE));
        let running = 1 + usize::try_from(random.bits() % 24).expect("small");
        for step in 0..4 + random.bits() % 12 {
            let share = |n: usize| StepShare {
                request: (place + n) % 40,
                prefill_tokens: 0,
                decode_tokens: 1,
                context_tokens: 300 + 40 * step,
            };
            let shares = (0..running).map(share).collect();
            push(&mut power, &mut spans, (&mut at_seconds, 0.04), shares);
        }
        power.steps.push((at_seconds, IDLE));
        at_seconds += pause;
        place += 1;
    }
    let simulation = Simulation::of(GpuConfig { power, ..GpuConfig::default() }, at_seconds + 1.0);
    let time = |seconds| at(&simulation.fake, seconds);
    let window = Window { begin_ns: time(5.0), end_ns: time(at_seconds - 1.0) };
    let mut steps = Vec::new();
    for (begin, end, shares) in spans {
        let step = Step { begin_ns: time(begin), end_ns: time(end), shares };
        if window.contains(step.begin_ns) && window.contains(step.end_ns) {
            let (prefill, decode) = cost(&step.shares);
            truth = (truth.0 + prefill, truth.1 + decode);
        }
        steps.push(step);
    }
    Scene { simulation, steps, truth, window }
}

fn push(
    power: &mut Profile,
    spans: &mut Vec<(f64, f64, Vec<StepShare>)>,
    (now, duration): (&mut f64, f64),
    shares: Vec<StepShare>,
) {
    let (prefill, decode) = cost(&shares);
    power.steps.push((*now, IDLE + (prefill + decode) / duration));
    spans.push((*now, *now + duration, shares));
    *now += duration;
}

fn cost(shares: &[StepShare]) -> (f64, f64) {
    let number = |count: u64| f64::from(u32::try_from(count).expect("small"));
    let prefill = shares.iter().map(|s| TRUE_COST[0] * number(s.prefill_tokens)).sum();
    let decode = shares.iter().map(|s| {
        let tokens = number(s.decode_tokens);
        TRUE_COST[1] * tokens + TRUE_COST[2] * tokens * number(s.context_tokens)
    });
    (prefill, decode.sum())
}

fn attributed(scene: &Scene, steps: &[Step]) -> Result<Attribution, AttributionError> {
    let work = (steps, StepSource::Engine);
    attribute(&scene.simulation.series, scene.window, Watts::new(IDLE), work, 1)
}

#[test]
fn phases_are_found_within_a_few_percent_and_close() {
    let scene = scene(11, 60.0);
    let found = attributed(&scene, &scene.steps).expect("enough data");
    assert!(found.held_out_r_squared > 0.9, "{found:#?}");
    assert!(found.closure.abs() < 1e-9);
    for (phase, truth) in [(found.prefill, scene.truth.0), (found.decode, scene.truth.1)] {
        let energy = phase.expect("it explains enough").energy_joules.get();
        assert!((energy / truth - 1.0).abs() < 0.03, "{energy} J beside {truth} J");
    }
    assert_eq!(found.requests.len(), 40);
}

#[test]
fn steps_of_the_wrong_times_are_refused() {
    let scene = scene(11, 60.0);
    // What was done is right, when it was done is not: the signal must be gone.
    let mut shuffled = scene.steps.clone();
    let mut random = Random::new(3);
    for place in (1..shuffled.len()).rev() {
        let count = u64::try_from(place + 1).expect("small");
        let other = usize::try_from(random.bits() % count).expect("small");
        let shares = std::mem::take(&mut shuffled[place].shares);
        shuffled[place].shares = std::mem::replace(&mut shuffled[other].shares, shares);
    }
    let found = attributed(&scene, &shuffled).expect("enough data");
    assert!(found.prefill.is_none() && found.decode.is_none(), "{found:#?}");
    assert!(found.reason.is_some() && found.closure.abs() < 1e-9);
}

#[test]
fn a_short_window_and_an_idle_one_are_refused() {
    let short = scene(12, 9.0);
    assert!(matches!(attributed(&short, &short.steps), Err(AttributionError::TooShort { .. })));
    let idle = scene(13, 30.0);
    assert_eq!(attributed(&idle, &[]), Err(AttributionError::NoWork));
}
