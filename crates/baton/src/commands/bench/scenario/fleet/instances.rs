//! Instances that come, work and go: F1, F2, F3.

use std::time::Duration;

use anyhow::{Context, Result};
use baton_model::Address;
use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::super::oracle::spread;
use super::super::stage::Stage;
use super::super::{Form, Trial};
use super::{Ending, FLEET, PERSISTENT, live, setting};
use crate::commands::bench::load::Manner;
use crate::commands::bench::plan::{Entry, Fleet};
use crate::commands::bench::stats::{Percentiles, float, ratio};

/// Most that the busiest instance may be called, as a multiple of the idlest.
const SPREAD_MAX: f64 = 2.0;
/// How long an instance has had a call at least that was taken from it: a connection that is refused
/// takes no time.
const HELD_SECONDS: f64 = 0.1;
/// How often a draining instance is asked whether it is ready.
const PROBE: Duration = Duration::from_millis(2);
/// Longest silence of a lane that is handed over, without the lease that would run out otherwise.
const HANDED_OVER_MAX: Duration = Duration::from_secs(1);

/// F1: nothing goes wrong.
pub(in super::super) async fn steady(form: &Form) -> Result<Trial> {
    let trial = Trial::new("F1", "3 instances behind nginx, steady");
    let size = form.size((60, 4), (200, 60));
    let fleet = Fleet {
        entry: Entry::Nginx,
        ..FLEET
    };
    let mut stage = Stage::start(form, trial, size, setting(fleet)).await?;
    let running = stage.load(Manner::Once)?;
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    let executed = float(played.mined.iter().flatten().count());
    let rate = ratio(executed, played.seconds_to_last());
    stage.trial.figure("mined", rate.unwrap_or(0.0), "/s");
    let answered = played.records.iter();
    let answered = answered.map(|record| record.answered.duration_since(record.due));
    if let Some(times) = Percentiles::of(answered.collect()) {
        stage.trial.figure("accepted p50", times.p50, "ms");
        stage.trial.figure("p99", times.p99, "ms");
    }
    let mut posts = Vec::new();
    for engine in &stage.world.engines {
        let metrics = stage.text_of(engine.process.url(), "/metrics").await?;
        posts.push(posts_answered(&metrics));
    }
    let spread = spread(&posts);
    stage.trial.figure(
        "POSTs, most by least busy instance",
        spread.unwrap_or(0.0),
        "",
    );
    stage
        .trial
        .require(spread.is_some_and(|spread| spread <= SPREAD_MAX), || {
            format!("POSTs are spread unevenly: {posts:?}")
        });
    let all = u64::try_from(played.records.len()).ok();
    stage.trial.require(Some(posts.iter().sum()) == all, || {
        format!("{all:?} requests were answered in {posts:?} POSTs")
    });
    stage.close().await
}

/// F2: whoever holds a lane is killed, again and again.
pub(in super::super) async fn kills(form: &Form) -> Result<Trial> {
    let trial = Trial::new("F2", "SIGKILL of who holds a lane");
    let size = form.size((45, 4), (150, 60));
    let mut stage = Stage::start(form, trial, size, setting(FLEET)).await?;
    let running = stage.load_until_ended(PERSISTENT)?;
    let lanes = u64::try_from(stage.world.accounts.len())?;
    let mut endings = Vec::new();
    for number in 0..form.count(5, 20) {
        live(form, "kill", number).await;
        let relayer = usize::try_from(number % lanes)?;
        let instance = stage.holder(relayer).await?;
        let accounts = stage.accounts_held(instance).await?;
        let at = Instant::now();
        stage.instance(instance)?.process.kill().await?;
        endings.push(stage.replace(at, accounts, instance).await?);
    }
    running.end();
    let failures = running.load.failures();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    stage.trial.figure("kills", float(endings.len()), "");
    stage.trial.figure("posts that failed", float(failures), "");
    stage.tell_takeovers(&endings, form.silent_max())?;
    stage
        .trial
        .require(failures > 0, || "no caller noticed anything".to_owned());
    stage.close().await
}

/// F3: every instance is told to end and started again, one after another.
pub(in super::super) async fn rolling_restart(form: &Form) -> Result<Trial> {
    let trial = Trial::new("F3", "rolling restart behind nginx");
    let size = form.size((60, 4), (200, 60));
    let fleet = Fleet {
        entry: Entry::Nginx,
        ..FLEET
    };
    let mut stage = Stage::start(form, trial, size, setting(fleet)).await?;
    // Each request is posted once: whatever nginx does not take care of is seen.
    let running = stage.load_until_ended(Manner::Once)?;
    let mut endings = Vec::new();
    let mut unready = 0;
    for round in 0..form.count(1, 5) {
        for instance in 0..stage.world.engines.len() {
            live(form, "drain", 100 * round + u64::try_from(instance)?).await;
            let accounts = stage.accounts_held(instance).await?;
            let url = stage.instance(instance)?.process.url().to_owned();
            let probing = tokio::spawn(probe(url));
            let at = Instant::now();
            stage.instance(instance)?.process.drain().await?;
            unready += refused(probing, &mut stage).await?;
            endings.push(stage.replace(at, accounts, instance).await?);
            // nginx leaves an instance alone for a while that was away: whoever ends the next one
            // before has it find nobody.
            stage.wait_for_calls(instance).await?;
        }
    }
    running.end();
    let played = stage.finish(running).await?;
    stage.require_all_accepted(&played);
    stage.trial.figure("restarts", float(endings.len()), "");
    let trial = &mut stage.trial;
    trial.figure("answers \"not ready\" meanwhile", float(unready), "");
    trial.require(unready >= endings.len(), || {
        format!("instances that drained said {unready} times that they are not ready")
    });
    let longest = if form.short {
        form.silent_max()
    } else {
        HANDED_OVER_MAX
    };
    stage.tell_takeovers(&endings, longest)?;
    let passed_on = float(PassedOn::of(&stage)?.calls);
    stage
        .trial
        .figure("calls that nginx gave to another", passed_on, "");
    stage.close().await
}

/// POSTs that an instance answered with success, by its metrics.
fn posts_answered(metrics: &str) -> u64 {
    let lines = metrics.lines().filter(|line| {
        line.starts_with("requests_total{")
            && line.contains("method=\"POST\"")
            && line.contains("status=\"2")
    });
    let counts = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    counts.sum()
}

/// What an instance answers to the question whether it is ready: a status, or `None` for no answer.
async fn probe(url: String) -> Result<Vec<Option<u16>>> {
    // A connection for each question: those that are kept are ended by a drain.
    let http = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .no_proxy()
        .build()?;
    let mut answers = Vec::new();
    loop {
        let asked = http.get(format!("{url}/api/v1/ready")).send().await;
        let answer = asked.ok().map(|answer| answer.status().as_u16());
        answers.push(answer);
        if answer.is_none() {
            return Ok(answers);
        }
        sleep(PROBE).await;
    }
}

/// How often the instance said that it is not ready before it was gone. It must never have said
/// that it is once it had said that it is not.
async fn refused(
    probing: JoinHandle<Result<Vec<Option<u16>>>>,
    stage: &mut Stage,
) -> Result<usize> {
    let answers = probing.await.context("a probe ended badly")??;
    let first = answers.iter().position(|answer| *answer != Some(200));
    let after = &answers[first.unwrap_or(answers.len())..];
    let again = after.iter().filter(|answer| **answer == Some(200)).count();
    stage.trial.require(again == 0, || {
        format!("an instance that drained said {again} times that it is ready")
    });
    Ok(after.iter().flatten().count())
}

/// Calls that nginx gave to a second instance, by its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PassedOn {
    pub(super) calls: usize,
    /// Those of them that the first instance had had for a while.
    pub(super) interrupted: usize,
}

/// What of a line is of interest; of several instances each has its place.
#[derive(Deserialize)]
struct Line {
    instance: String,
    instance_seconds: String,
}

impl PassedOn {
    pub(super) fn of(stage: &Stage) -> Result<Self> {
        let nginx = stage.world.nginx.as_ref().context("nginx is there")?;
        Ok(Self::in_log(&nginx.log()))
    }

    fn in_log(log: &str) -> Self {
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let mut passed_on = Self::default();
        for line in lines.filter(|line: &Line| line.instance.contains(", ")) {
            let first = line.instance_seconds.split(", ").next();
            let seconds: Option<f64> = first.and_then(|seconds| seconds.parse().ok());
            passed_on.calls += 1;
            passed_on.interrupted += usize::from(seconds.is_some_and(|s| s >= HELD_SECONDS));
        }
        passed_on
    }
}

impl Stage {
    /// Starts an instance that has ended again, once others have taken over the lanes of these
    /// accounts, and waits until it is ready.
    pub(super) async fn replace(
        &mut self,
        at: Instant,
        accounts: Vec<Address>,
        instance: usize,
    ) -> Result<Ending> {
        self.wait_for_new_by(&accounts, at, |other| other != instance)
            .await?;
        let back = Instant::now();
        let engine = self.instance(instance)?;
        engine.restart()?;
        engine.process.ready().await?;
        Ok(Ending {
            at,
            accounts,
            instance,
            back,
        })
    }

    /// Waits until an instance was given POSTs since its start.
    async fn wait_for_calls(&self, instance: usize) -> Result<()> {
        let url = self.world.engines[instance].process.url();
        self.wait_for("nginx gives the instance calls again", async || {
            Ok(posts_answered(&self.text_of(url, "/metrics").await?) > 0)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_posts_that_succeeded_count() {
        let metrics = "requests_total{endpoint=\"/a\",method=\"POST\",status=\"200\"} 7\n\
                       requests_total{endpoint=\"/b\",method=\"POST\",status=\"201\"} 2\n\
                       requests_total{endpoint=\"/a\",method=\"POST\",status=\"503\"} 1\n\
                       requests_total{endpoint=\"/a\",method=\"GET\",status=\"200\"} 9\n";
        assert_eq!(posts_answered(metrics), 9);
    }

    #[test]
    fn a_call_that_was_taken_from_an_instance_is_told_from_one_that_it_refused() {
        let line = |instance: &str, seconds: &str| {
            format!("{{\"instance\":\"{instance}\",\"instance_seconds\":\"{seconds}\"}}\n")
        };
        let log = [
            line("a:1", "0.500"),
            line("a:1, b:2", "0.000, 0.004"),
            line("a:1, b:2", "0.700, 0.004"),
            line("a:1, b:2, c:3", "0.001, 0.600, 0.004"),
            "2026/11/21 [error] not JSON\n".to_owned(),
        ];
        let expected = PassedOn {
            calls: 3,
            interrupted: 1,
        };
        assert_eq!(PassedOn::in_log(&log.concat()), expected);
    }
}
