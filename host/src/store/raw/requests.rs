//! Request logs: a row a request, the times of its tokens as lists.

use std::path::Path;

use llem_core::{
    latency::{CpuSample, EngineStep, Request, RequestLog},
    record::TrialId,
    sse::TokenArrival,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    RawError, requests_of,
    table::{Column, Table},
};

/// What is not in the columns.
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    started_ns: u64,
    ended_ns: u64,
    notes: Vec<String>,
    cpu: Vec<CpuSample>,
    /// Begin, end, prompt tokens, tokens made, requests in work; there may be many.
    #[serde(default)]
    steps: Vec<(u64, u64, u64, u64, u32)>,
}

/// Writes a trial's request log.
pub fn write_requests(results: &Path, trial: &TrialId, log: &RequestLog) -> Result<(), RawError> {
    let metadata = Metadata {
        started_ns: log.started_ns,
        ended_ns: log.ended_ns,
        notes: log.notes.clone(),
        cpu: log.cpu.clone(),
        steps: log.steps.iter().map(row_of_step).collect(),
    };
    let metadata = toml::to_string(&metadata).expect("it has string keys only");
    let mut table = Table::default();
    table.metadata = metadata;
    let requests = || log.requests.iter();
    table.whole("index", requests().map(|it| Some(it.index)));
    table.whole("scheduled_ns", requests().map(|it| Some(it.scheduled_ns)));
    table.whole("dispatched_ns", requests().map(|it| it.dispatched_ns));
    table.whole("first_byte_ns", requests().map(|it| it.first_byte_ns));
    table.whole("first_token_ns", requests().map(|it| it.first_token_ns));
    table.whole("last_token_ns", requests().map(|it| it.last_token_ns));
    table.whole("end_ns", requests().map(|it| Some(it.end_ns)));
    table.whole("input_tokens", requests().map(|it| it.input_tokens));
    table.whole("output_tokens", requests().map(|it| it.output_tokens));
    table.push("counted_by", text(requests().map(|it| it.counted_by.as_ref().and_then(name))));
    table.whole("contradiction", requests().map(|it| Some(u64::from(it.contradiction))));
    table.push("status", text(requests().map(|it| name(&it.status))));
    table.whole("http_status", requests().map(|it| it.http_status.map(u64::from)));
    table.push("finish", text(requests().map(|it| it.finish.as_ref().and_then(name))));
    table.push("detail", text(requests().map(|it| it.detail.clone())));
    let lists = |of: fn(&TokenArrival) -> u64| {
        Column::Wholes(requests().map(|it| it.tokens.iter().map(of).collect()).collect())
    };
    table.push("token_at_ns", lists(|it| it.at_ns));
    table.push("token_counts", lists(|it| u64::from(it.tokens)));
    table.write(&requests_of(results, trial))
}

fn row_of_step(it: &EngineStep) -> (u64, u64, u64, u64, u32) {
    (it.begin_ns, it.end_ns, it.prefill_tokens, it.decode_tokens, it.running)
}

fn step_of_row(row: (u64, u64, u64, u64, u32)) -> EngineStep {
    let (begin_ns, end_ns, prefill_tokens, decode_tokens, running) = row;
    EngineStep { begin_ns, end_ns, prefill_tokens, decode_tokens, running }
}

fn text(cells: impl Iterator<Item = Option<String>>) -> Column {
    Column::Text(cells.collect())
}

/// The name that a variant has on the wire.
fn name(variant: &impl Serialize) -> Option<String> {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(name)) => Some(name),
        _ => None,
    }
}

fn variant<T: DeserializeOwned>(name: Option<String>) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(name?)).ok()
}

/// Reads a trial's request log; none where it has none.
pub(crate) fn read_requests(
    results: &Path,
    trial: &TrialId,
) -> Result<Option<RequestLog>, RawError> {
    let path = requests_of(results, trial);
    if !path.is_file() {
        return Ok(None);
    }
    let mut table = Table::read(&path)?;
    let metadata: Metadata = toml::from_str(&table.metadata)
        .map_err(|it| RawError::Missing { path: path.clone(), what: format!("metadata ({it})") })?;
    let requests = rows(&mut table)
        .ok_or_else(|| RawError::Missing { path, what: "columns of a request log".to_owned() })?;
    let Metadata { started_ns, ended_ns, notes, cpu, steps } = metadata;
    let steps = steps.into_iter().map(step_of_row).collect();
    Ok(Some(RequestLog { started_ns, ended_ns, requests, cpu, steps, notes }))
}

fn rows(table: &mut Table) -> Option<Vec<Request>> {
    let index = table.take_whole("index")?;
    let scheduled = table.take_whole("scheduled_ns")?;
    let dispatched = table.take_whole("dispatched_ns")?;
    let first_byte = table.take_whole("first_byte_ns")?;
    let first_token = table.take_whole("first_token_ns")?;
    let last_token = table.take_whole("last_token_ns")?;
    let end = table.take_whole("end_ns")?;
    let input = table.take_whole("input_tokens")?;
    let output = table.take_whole("output_tokens")?;
    let mut counted_by = table.take_text("counted_by")?;
    let contradiction = table.take_whole("contradiction")?;
    let mut status = table.take_text("status")?;
    let http_status = table.take_whole("http_status")?;
    let mut finish = table.take_text("finish")?;
    let mut detail = table.take_text("detail")?;
    let token_at = table.take_wholes("token_at_ns")?;
    let token_counts = table.take_wholes("token_counts")?;
    let row = |n: usize| {
        let tokens = token_at[n].iter().zip(&token_counts[n]);
        let tokens = tokens.map(|(&at_ns, &tokens)| {
            Some(TokenArrival { at_ns, tokens: u32::try_from(tokens).ok()? })
        });
        Some(Request {
            index: index[n]?,
            scheduled_ns: scheduled[n]?,
            dispatched_ns: dispatched[n],
            first_byte_ns: first_byte[n],
            first_token_ns: first_token[n],
            last_token_ns: last_token[n],
            end_ns: end[n]?,
            input_tokens: input[n],
            output_tokens: output[n],
            counted_by: variant(counted_by[n].take()),
            contradiction: contradiction[n]? != 0,
            status: variant(status[n].take())?,
            http_status: http_status[n].and_then(|it| u16::try_from(it).ok()),
            finish: variant(finish[n].take()),
            detail: detail[n].take(),
            tokens: tokens.collect::<Option<_>>()?,
        })
    };
    (0..index.len()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use llem_core::{
        latency::Status,
        sse::{CountedBy, Finish},
    };

    use super::*;

    #[test]
    fn a_log_comes_back_as_it_was() {
        let results = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(results.path().join("requests")).expect("writable");
        let trial = TrialId { experiment: "e".to_owned(), repeat: 1 };
        let answered = Request {
            dispatched_ns: Some(11),
            first_token_ns: Some(20),
            last_token_ns: Some(30),
            input_tokens: Some(5),
            output_tokens: Some(3),
            counted_by: Some(CountedBy::RunningUsage),
            status: Status::Completed,
            http_status: Some(200),
            finish: Some(Finish::Length),
            tokens: vec![
                TokenArrival { at_ns: 20, tokens: 1 },
                TokenArrival { at_ns: 30, tokens: 2 },
            ],
            ..Request::scheduled(0, 10)
        };
        let refused = Request {
            status: Status::ConnectFailed,
            detail: Some("refused".to_owned()),
            contradiction: true,
            ..Request::scheduled(1, 12)
        };
        let log = RequestLog {
            started_ns: 1,
            ended_ns: 40,
            requests: vec![answered, refused],
            cpu: vec![CpuSample { at_ns: 5, cpu_ns: 2 }],
            steps: vec![step_of_row((1, 20, 5, 1, 1)), step_of_row((20, 30, 0, 2, 1))],
            notes: vec!["a note".to_owned()],
        };
        write_requests(results.path(), &trial, &log).expect("writable");
        let read = read_requests(results.path(), &trial).expect("readable");
        assert_eq!(read, Some(log));
        let other = TrialId { repeat: 2, ..trial };
        assert_eq!(read_requests(results.path(), &other).expect("nothing is no error"), None);
    }
}
