//! `baton fleet`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use baton_coord::{Admin, Log, Position};
use baton_coord_local::SystemClock;
use baton_coord_redis::RedisStore;
use baton_engine::fleet::{Fleet, InstanceView};
use baton_model::{LaneId, Timestamp};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{refuse, say, table};
use crate::app::store::RawStore;
use crate::cli::{FleetCommand, FleetStatusArgs};
use crate::config::{self, Variables};

/// Start of the names of relayers' lanes.
const RELAYER_LANES: &str = "tx/";
/// Lanes asked for, and asked about, at a time.
const PAGE: usize = 256;
/// Inbox entries that are counted one by one.
const INBOX_COUNTED: usize = 1000;
/// How often it is looked whether all instances have told of themselves.
const LOOK: Duration = Duration::from_millis(100);
/// Longest wait for that: twice the longest lease that instances beat four times in.
const LOOKS_MAX: Duration = Duration::from_secs(120);

/// Runs the command.
pub async fn run(command: FleetCommand, variables: &dyn Variables) -> Result<ExitCode> {
    match command {
        FleetCommand::Status(arguments) => status(&arguments, variables).await,
    }
}

async fn status(arguments: &FleetStatusArgs, variables: &dyn Variables) -> Result<ExitCode> {
    let file = arguments.source.config.clone();
    let file = file.unwrap_or_else(|| config::default_file(variables));
    let (settings, _) = config::load(&file, variables).map_err(|report| refuse(&file, &report))?;
    let clock = Arc::new(SystemClock::start());
    let raw = match &settings.storage.backend {
        config::Backend::Redis(_) => RawStore::open(&settings.storage.backend, clock).await?,
        config::Backend::Embedded { .. } => bail!(
            "the store is embedded, so the engine that uses it is alone and runs every lane; a fleet needs \
             REPOSITORY_STORAGE_TYPE=redis"
        ),
    };
    let RawStore::Redis(redis) = &raw else {
        bail!("the store is not a shared one");
    };
    let store = raw.seal(settings.storage.encryption.as_ref()).await?;
    let instances = look(&store).await?;
    let lanes = lanes(redis).await?;
    let shown = Shown { instances, lanes };
    if arguments.json {
        say(serde_json::to_string_pretty(&shown.json())?)?;
    } else {
        say(shown.text())?;
    }
    Ok(if shown.is_whole() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// An instance, and whether it told of itself while it was looked at.
struct Instance {
    view: InstanceView,
    is_live: bool,
}

/// A lane, and who holds it by the store's word.
struct LaneShown {
    lane: LaneId,
    holding: Option<baton_coord_redis::Holding>,
    inbox: usize,
}

struct Shown {
    instances: Vec<Instance>,
    lanes: Vec<LaneShown>,
}

/// Looks until every instance told of itself again, or had twice the time for it.
async fn look(store: &baton_engine::SharedStore) -> Result<Vec<Instance>> {
    let before: BTreeMap<String, u64> = {
        let views = Fleet::view(store).await?;
        let known = views.into_iter().map(|view| (view.id, view.sequence));
        known.collect()
    };
    let began = Instant::now();
    loop {
        sleep(LOOK).await;
        let views = Fleet::view(store).await?;
        let longest = views.iter().map(|view| view.lease).max();
        let enough = longest.unwrap_or_default().min(LOOKS_MAX);
        let beat = |view: &InstanceView| before.get(&view.id) != Some(&view.sequence);
        if views.iter().all(beat) || began.elapsed() >= enough {
            let instance = |view| Instance {
                is_live: beat(&view),
                view,
            };
            return Ok(views.into_iter().map(instance).collect());
        }
    }
}

async fn lanes(redis: &RedisStore) -> Result<Vec<LaneShown>> {
    let mut all = Vec::new();
    let mut after: Option<LaneId> = None;
    loop {
        let page = redis.lanes(after.as_ref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().cloned();
        all.extend(page);
        if is_last {
            break;
        }
    }
    let relayers = all
        .into_iter()
        .filter(|lane| lane.as_str().starts_with(RELAYER_LANES));
    let asked = stream::iter(relayers.map(|lane| async move {
        let holding = redis.holding(&lane).await?;
        let inbox = redis
            .read(&lane, Position(0), INBOX_COUNTED, Duration::ZERO)
            .await?;
        anyhow::Ok(LaneShown {
            lane,
            holding,
            inbox: inbox.len(),
        })
    }));
    asked.buffered(PAGE).try_collect().await
}

impl Shown {
    fn is_whole(&self) -> bool {
        self.instances.iter().any(|instance| instance.is_live)
            && self.lanes.iter().all(|lane| lane.holding.is_some())
    }

    fn instance(&self, id: &str) -> Option<&Instance> {
        self.instances
            .iter()
            .find(|instance| instance.view.id == id)
    }

    /// Since when a holder has had a lane, as it told itself.
    fn since(&self, lane: &LaneShown) -> Option<Timestamp> {
        let holding = lane.holding.as_ref()?;
        let told = &self.instance(&holding.holder.0)?.view.holds;
        let held = told.iter().find(|held| held.lane == lane.lane)?;
        (held.epoch == holding.epoch).then_some(held.since)
    }

    fn text(&self) -> String {
        let instances = self.instances.iter().map(|instance| {
            let view = &instance.view;
            vec![
                view.name.clone(),
                instance.state().to_owned(),
                view.version.clone(),
                seconds(view.started_at),
                seconds(view.beat_at),
                self.held_by(view).to_string(),
                view.id.clone(),
            ]
        });
        let headings = [
            "INSTANCE",
            "STATE",
            "VERSION",
            "STARTED (UTC)",
            "LAST BEAT (UTC)",
            "LANES",
            "ID",
        ];
        let mut text = table(&headings, instances.collect());
        let lanes = self.lanes.iter().map(|lane| {
            let holding = lane.holding.as_ref();
            let name = holding.map(|holding| self.name(&holding.holder.0));
            vec![
                relayer(&lane.lane),
                name.unwrap_or_else(|| "nobody".to_owned()),
                self.since(lane).map(seconds).unwrap_or_default(),
                holding
                    .map(|holding| holding.epoch.to_string())
                    .unwrap_or_default(),
                holding
                    .map(|holding| format!("{} ms", holding.remaining.as_millis()))
                    .unwrap_or_default(),
                lane.inbox_text(),
            ]
        });
        text.push('\n');
        let headings = [
            "LANE",
            "HELD BY",
            "SINCE (UTC)",
            "EPOCH",
            "RUNS FOR",
            "INBOX",
        ];
        text.push_str(&table(&headings, lanes.collect()));
        let live = self.instances.iter().filter(|instance| instance.is_live);
        let free = self.lanes.iter().filter(|lane| lane.holding.is_none());
        let versions: BTreeSet<&str> = live.clone().map(|one| one.view.version.as_str()).collect();
        let versions: Vec<&str> = versions.into_iter().collect();
        text.push_str(&format!(
            "\n{} live of {} instances (version {}); {} lanes, {} without a holder",
            live.count(),
            self.instances.len(),
            versions.join(", "),
            self.lanes.len(),
            free.count(),
        ));
        for instance in &self.instances {
            if let Some(reason) = &instance.view.unreadable {
                text.push_str(&format!("\n{}: {reason}", instance.view.id));
            }
        }
        text
    }

    /// How many lanes an instance holds by the store's word.
    fn held_by(&self, view: &InstanceView) -> usize {
        let holders = self.lanes.iter().filter_map(|lane| lane.holding.as_ref());
        holders
            .filter(|holding| holding.holder.0 == view.id)
            .count()
    }

    /// What an instance is called, or its id where that would leave a choice.
    fn name(&self, id: &str) -> String {
        let Some(known) = self.instance(id) else {
            return id.to_owned();
        };
        let name = &known.view.name;
        let same = self.instances.iter().filter(|one| one.view.name == *name);
        if same.count() == 1 {
            name.clone()
        } else {
            id.to_owned()
        }
    }

    fn json(&self) -> Value {
        let instances = self.instances.iter().map(|instance| {
            let view = &instance.view;
            json!({
                "id": view.id, "name": view.name, "state": instance.state(), "version": view.version,
                "started_at": view.started_at, "beat_at": view.beat_at, "lease_ms": view.lease.as_millis(),
                "lanes": self.held_by(view),
                "wants": view.wants.iter().map(relayer).collect::<Vec<_>>(),
                "unreadable": view.unreadable,
            })
        });
        let lanes = self.lanes.iter().map(|lane| {
            let holding = lane.holding.as_ref();
            json!({
                "relayer_id": relayer(&lane.lane),
                "holder": holding.map(|holding| &holding.holder.0),
                "instance": holding.map(|holding| self.name(&holding.holder.0)),
                "since": self.since(lane),
                "epoch": holding.map(|holding| holding.epoch),
                "remaining_ms": holding.map(|holding| holding.remaining.as_millis()),
                "inbox": lane.inbox,
            })
        });
        json!({
            "instances": instances.collect::<Vec<_>>(),
            "lanes": lanes.collect::<Vec<_>>(),
        })
    }
}

impl Instance {
    const fn state(&self) -> &'static str {
        match (self.is_live, self.view.is_draining) {
            (false, _) => "gone",
            (true, true) => "draining",
            (true, false) => "live",
        }
    }
}

impl LaneShown {
    fn inbox_text(&self) -> String {
        if self.inbox >= INBOX_COUNTED {
            return format!("{INBOX_COUNTED} or more");
        }
        self.inbox.to_string()
    }
}

fn relayer(lane: &LaneId) -> String {
    let name = lane.as_str();
    name.strip_prefix(RELAYER_LANES).unwrap_or(name).to_owned()
}

/// A time to the second, as in `2026-11-21 12:00:00`.
fn seconds(time: Timestamp) -> String {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(millis);
    time.map(|time| time.strftime("%F %T").to_string())
        .unwrap_or_default()
}
