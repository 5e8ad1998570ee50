//! The transaction engine as a pure state machine: which account, which nonce, which bid, and what to do about it.
//!
//! One [`Lane`] runs the requests of one relayer. It does no I/O, reads no clock and draws no chance: inputs and the
//! time go in, outputs and records come out. The rules that keep money safe are the invariants of `ARCHITECTURE.md`.

mod account;
mod config;
mod event;
mod fees;
mod lane;
pub mod record;
mod slot;
mod triage;

pub use config::{LaneConfig, Timing};
pub use event::{
    AccountInput, Alarm, Answer, BlockInput, Command, GasEstimate, Input, Observation, Offer,
    Output, Signed, Survey, SurveyedAccount, Ticket,
};
pub use fees::{FeeHold, MarketView, SPEED_PERCENTILES, first_bid, least_replacement, replaces};
pub use lane::{
    AccountView, Changes, Lane, RestoreError, Restored, SlotState, SlotView, gas_with_margin,
};
pub use triage::{Verdict, next_nonce_hint, triage};
