//! `baton tx`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use baton_vault::keys::uuid_v4;
use clap::ValueEnum;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::{Answer, Client, Failure};
use super::follow::{End, Goal, Teller, follow};
use super::{ENDED_OTHERWISE, STILL_OPEN, print, show};
use crate::cli::{CancelArgs, ListArgs, OneArgs, SendArgs, TxArgs, TxCommand, WatchArgs};
use crate::config::Variables;

/// How often a request is sent before it is given up, and the pause before the second time; then it doubles. Together
/// some 15 s: a restart of the engine.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Runs the command.
pub async fn run(arguments: TxArgs, variables: &dyn Variables) -> Result<ExitCode> {
    let client = Client::new(&arguments.caller, variables)?;
    let as_json = arguments.caller.json;
    match arguments.command {
        TxCommand::Send(arguments) => send(&client, *arguments, as_json).await,
        TxCommand::Get(OneArgs { relayer, id }) => {
            let answer = client
                .get(&["relayers", &relayer, "transactions", &id], &[])
                .await?;
            print(as_json, answer.data(), show::transaction)
        }
        TxCommand::List(arguments) => list(&client, &arguments, as_json).await,
        TxCommand::Cancel(arguments) => cancel(&client, &arguments, as_json).await,
        TxCommand::Watch(arguments) => watch(&client, &arguments, as_json).await,
    }
}

async fn send(client: &Client, arguments: SendArgs, as_json: bool) -> Result<ExitCode> {
    let key = match &arguments.idempotency_key {
        Some(key) => key.clone(),
        None => uuid_v4()
            .context("no randomness from the operating system")?
            .to_string(),
    };
    let body = body(&arguments);
    let answer = post(client, &arguments.relayer, &body, &key).await?;
    let transaction = answer.data();
    if answer.is_replayed {
        note("this request was accepted before: nothing new was sent")?;
    }
    let Some(until) = arguments.wait.wait else {
        return print(as_json, transaction, show::transaction);
    };
    let id = transaction["id"].as_str().unwrap_or_default().to_owned();
    if !as_json {
        note(&format!("accepted as {id}"))?;
    }
    let goal = Goal::Status(until);
    let patience = Some(arguments.wait.timeout);
    let mut teller = if as_json {
        Teller::silent()
    } else {
        Teller::quiet()
    };
    let end = follow(
        client,
        (&arguments.relayer, &id),
        goal,
        patience,
        &mut teller,
    )
    .await?;
    drop(teller);
    conclude(end, as_json)
}

/// Sends a request again when its answer is lost: the key sees to it that it counts once.
async fn post(client: &Client, relayer: &str, body: &Value, key: &str) -> Result<Answer> {
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match client
            .post(&["relayers", relayer, "transactions"], body, key)
            .await
        {
            Ok(answer) => return Ok(answer),
            Err(failure) if failure.may_pass() => {
                note(&format!("{:#}; trying again", anyhow::Error::from(failure)))?;
            }
            Err(failure) => return Err(failure.into()),
        }
        sleep(pause).await;
        pause *= 2;
    }
    let last = client
        .post(&["relayers", relayer, "transactions"], body, key)
        .await;
    last.map_err(|failure| match failure {
        Failure::Refused { .. } => failure.into(),
        Failure::NoAnswer(error) => error.context(format!(
            "whether the request was accepted is not known; repeat it with --idempotency-key {key}, and it counts once"
        )),
    })
}

fn body(arguments: &SendArgs) -> Value {
    let mut body = json!({ "value": arguments.value.to_string() });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body[name] = value;
        }
    };
    set("to", arguments.to.map(|to| json!(to)));
    set("data", arguments.data.as_ref().map(|data| json!(data)));
    set("gas_limit", arguments.gas_limit.map(Value::from));
    set(
        "gas_price",
        arguments.gas_price.map(|price| json!(price.to_string())),
    );
    set(
        "max_fee_per_gas",
        arguments.max_fee.map(|fee| json!(fee.to_string())),
    );
    let priority = arguments.priority_fee.map(|fee| json!(fee.to_string()));
    set("max_priority_fee_per_gas", priority);
    set(
        "valid_until",
        arguments.valid_until.clone().map(Value::from),
    );
    if arguments.gas_price.is_none() && arguments.max_fee.is_none() {
        set(
            "speed",
            Some(json!(
                arguments
                    .speed
                    .map_or_else(|| "fast".to_owned(), |speed| word(&speed))
            )),
        );
    }
    body
}

async fn list(client: &Client, arguments: &ListArgs, as_json: bool) -> Result<ExitCode> {
    let mut query = vec![
        ("page", arguments.page.page.to_string()),
        ("per_page", arguments.page.per_page.to_string()),
    ];
    query.extend(arguments.status.map(|status| ("status", word(&status))));
    let path = ["relayers", &arguments.relayer, "transactions"];
    let answer = client.get(&path, &query).await?;
    print(as_json, &answer.body, show::transactions)
}

async fn cancel(client: &Client, arguments: &CancelArgs, as_json: bool) -> Result<ExitCode> {
    let OneArgs { relayer, id } = &arguments.one;
    let answer = client
        .delete(&["relayers", relayer, "transactions", id])
        .await?;
    if !arguments.wait {
        if answer.is_pending {
            note("it will be carried out as soon as the relayer's lane runs")?;
        }
        return print(as_json, answer.data(), show::transaction);
    }
    let patience = Some(arguments.timeout);
    let mut teller = if as_json {
        Teller::silent()
    } else {
        Teller::quiet()
    };
    let end = follow(client, (relayer, id), Goal::Canceled, patience, &mut teller).await?;
    drop(teller);
    conclude(end, as_json)
}

async fn watch(client: &Client, arguments: &WatchArgs, as_json: bool) -> Result<ExitCode> {
    let OneArgs { relayer, id } = &arguments.one;
    let mut teller = if as_json {
        Teller::json()
    } else {
        Teller::quiet()
    };
    let goal = Goal::Status(arguments.until);
    let end = follow(client, (relayer, id), goal, arguments.timeout, &mut teller).await?;
    drop(teller);
    if as_json {
        // Its last line is the end.
        return Ok(status_of(&end));
    }
    conclude(end, false)
}

fn conclude(end: End, as_json: bool) -> Result<ExitCode> {
    let status = status_of(&end);
    let (End::Reached(transaction) | End::Otherwise(transaction) | End::Open(transaction)) = end;
    print(as_json, &transaction, show::transaction)?;
    Ok(status)
}

fn status_of(end: &End) -> ExitCode {
    match end {
        End::Reached(_) => ExitCode::SUCCESS,
        End::Otherwise(_) => ExitCode::from(ENDED_OTHERWISE),
        End::Open(_) => ExitCode::from(STILL_OPEN),
    }
}

/// A value as the API writes it.
fn word(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

/// Says something that is no part of the result.
fn note(text: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{text}")
}
