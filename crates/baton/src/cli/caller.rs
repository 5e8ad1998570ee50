//! The arguments of the commands that call a running engine.

use std::time::Duration;

use baton_model::{Address, Bytes, U256};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::amount::{duration, wei};

/// Which engine, and how it is shown.
#[derive(Clone, Debug, Args)]
pub struct CallerArgs {
    /// Where the engine is; without it, BATON_URL, or http://localhost:8080.
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// Print JSON, as the API gives it, for programs.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What the statuses of the commands mean; part of their help.
const STATUSES: &str = "\
The key is read from API_KEY. Ends with status
  0  for a success
  1  for an error or a refusal
  2  for wrong arguments
  3  when the transaction ended in another way than was waited for
  4  when it was still open after --timeout";

/// `baton tx`.
#[derive(Clone, Debug, Args)]
#[command(after_help = STATUSES)]
pub struct TxArgs {
    /// Which engine.
    #[command(flatten)]
    pub caller: CallerArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: TxCommand,
}

/// `baton tx`.
#[derive(Clone, Debug, Subcommand)]
pub enum TxCommand {
    /// Send a transaction. Repeated safely when an answer is lost: it has an idempotency key of its own.
    Send(Box<SendArgs>),
    /// Show a transaction.
    Get(OneArgs),
    /// List a relayer's transactions, newest first.
    #[command(after_help = "\
Examples:
  baton tx list main
  baton tx list main --status pending --per-page 100
  baton tx list main --json | jq -r '.data[].id'")]
    List(ListArgs),
    /// Cancel a transaction that is not mined. If it was sent, a transfer of nothing takes its nonce.
    #[command(after_help = "\
Examples:
  baton tx cancel main 1b4e28ba-2fa1-41d2-883f-0016d3cca427
  baton tx cancel main 1b4e28ba-2fa1-41d2-883f-0016d3cca427 --wait")]
    Cancel(CancelArgs),
    /// Follow a transaction until it is final.
    #[command(after_help = "\
Examples:
  baton tx watch main 1b4e28ba-2fa1-41d2-883f-0016d3cca427
  baton tx watch main 1b4e28ba-2fa1-41d2-883f-0016d3cca427 --until mined --timeout 2m
  baton tx watch main 1b4e28ba-2fa1-41d2-883f-0016d3cca427 --json     a line for every change")]
    Watch(WatchArgs),
}

/// `baton tx send`.
#[derive(Clone, Debug, Args)]
#[command(
    group(ArgGroup::new("price").args(["speed", "gas_price", "max_fee"])),
    group(ArgGroup::new("what").args(["to", "data"]).required(true).multiple(true)),
    after_help = "\
Examples:
  baton tx send main --to 0x000000000000000000000000000000000000dEaD --value 0.1ether
  baton tx send main --to 0x… --data 0xa9059cbb… --gas-limit 65000 --wait
  baton tx send main --to 0x… --value 1 --max-fee 30gwei --priority-fee 1gwei --wait confirmed --timeout 5m
  baton tx send main --to 0x… --value 1gwei --idempotency-key order-42     the same key never pays twice
  baton tx send main --data 0x6080…                                        create a contract

Amounts are wei, or have a unit: 1, 2.5gwei, 0.1ether."
)]
pub struct SendArgs {
    /// The relayer that sends.
    #[arg(value_name = "RELAYER")]
    pub relayer: String,
    /// Target; without one the data creates a contract.
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<Address>,
    /// What is sent along.
    #[arg(long, default_value = "0", value_name = "AMOUNT", value_parser = wei)]
    pub value: U256,
    /// Input, or init code, in hex.
    #[arg(long, value_name = "HEX")]
    pub data: Option<Bytes>,
    /// Gas limit; estimated when it is not given.
    #[arg(long, value_name = "GAS")]
    pub gas_limit: Option<u64>,
    /// How fast; `fast` when no price is given either.
    #[arg(long, value_enum)]
    pub speed: Option<SpeedArg>,
    /// Price per gas of a legacy transaction.
    #[arg(long, value_name = "AMOUNT", value_parser = wei)]
    pub gas_price: Option<U256>,
    /// Most per gas.
    #[arg(long, value_name = "AMOUNT", value_parser = wei, requires = "priority_fee")]
    pub max_fee: Option<U256>,
    /// Per gas for the proposer.
    #[arg(long, value_name = "AMOUNT", value_parser = wei, requires = "max_fee")]
    pub priority_fee: Option<U256>,
    /// When it lapses, such as 2030-01-01T00:00:00Z; after 8 h when not given.
    #[arg(long, value_name = "TIME")]
    pub valid_until: Option<String>,
    /// Makes the request known again: the same key with the same request is executed once. Random when not given.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Wait for it.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Waiting, for commands that need not.
#[derive(Clone, Debug, Args)]
pub struct WaitArgs {
    /// Wait until it is there, or has ended.
    #[arg(long, value_enum, value_name = "STATUS", num_args = 0..=1, default_missing_value = "mined")]
    pub wait: Option<Until>,
    /// Longest wait, such as 90s, 5m or 2h.
    #[arg(long, default_value = "10m", value_name = "TIME", value_parser = duration, requires = "wait")]
    pub timeout: Duration,
}

/// One transaction.
#[derive(Clone, Debug, Args)]
pub struct OneArgs {
    /// Its relayer.
    #[arg(value_name = "RELAYER")]
    pub relayer: String,
    /// Its id.
    #[arg(value_name = "ID")]
    pub id: String,
}

/// `baton tx cancel`.
#[derive(Clone, Debug, Args)]
pub struct CancelArgs {
    /// Which.
    #[command(flatten)]
    pub one: OneArgs,
    /// Wait until it has ended; status 3 if it was executed after all.
    #[arg(long)]
    pub wait: bool,
    /// Longest wait, such as 90s, 5m or 2h.
    #[arg(long, default_value = "10m", value_name = "TIME", value_parser = duration, requires = "wait")]
    pub timeout: Duration,
}

/// `baton tx watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Which.
    #[command(flatten)]
    pub one: OneArgs,
    /// What to wait for.
    #[arg(long, value_enum, default_value_t = Until::Confirmed, value_name = "STATUS")]
    pub until: Until,
    /// Longest wait, such as 90s, 5m or 2h; for ever when not given.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
}

/// `baton tx list`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Whose.
    #[arg(value_name = "RELAYER")]
    pub relayer: String,
    /// Only those with this status.
    #[arg(long, value_enum, value_name = "STATUS")]
    pub status: Option<StatusArg>,
    /// Which part of the list.
    #[command(flatten)]
    pub page: PageArgs,
}

/// Part of a list.
#[derive(Clone, Copy, Debug, Args)]
pub struct PageArgs {
    /// Page, counted from 1.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub page: u32,
    /// Most entries on a page.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub per_page: u32,
}

/// `baton relayers`.
#[derive(Clone, Debug, Args)]
#[command(after_help = STATUSES)]
pub struct RelayersArgs {
    /// Which engine.
    #[command(flatten)]
    pub caller: CallerArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: RelayersCommand,
}

/// `baton relayers`.
#[derive(Clone, Debug, Subcommand)]
pub enum RelayersCommand {
    /// List the relayers.
    List(PageArgs),
    /// Show a relayer: its accounts, balances, nonces, open transactions, and what needs a person.
    Show {
        /// Which.
        #[arg(value_name = "RELAYER")]
        relayer: String,
    },
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Until {
    /// A node has it.
    Submitted,
    /// It is in a block.
    Mined,
    /// Its block is final.
    Confirmed,
}

/// A speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SpeedArg {
    /// The slowest.
    #[value(name = "safeLow", alias = "safe-low")]
    SafeLow,
    /// In between.
    Average,
    /// The default.
    Fast,
    /// The fastest.
    Fastest,
}

/// A status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusArg {
    /// Accepted, without a nonce.
    Pending,
    /// Signed and stored.
    Sent,
    /// A node has it.
    Submitted,
    /// In a block.
    Mined,
    /// Executed, and final.
    Confirmed,
    /// Reverted, or refused by the chain.
    Failed,
    /// Cancelled.
    Canceled,
    /// Lapsed.
    Expired,
}
