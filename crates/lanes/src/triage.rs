//! What a node's refusal of an offered transaction means, from its error code and text.
//!
//! The knowledge is data: `GROUPS` lists texts by what they mean, in the order in which they are
//! tried. The first match decides, and the order is from the meaning that commits the lane to least
//! to the one that commits it to most, so a text with several meanings (a proxy that joins the
//! answers of two nodes, an error wrapped in another) gets the safer one. Two ends of the order
//! matter most:
//!
//! - Texts that quote the words of a contract come first. A revert reason is chosen by whoever
//!   wrote the contract, and `execution reverted: nonce too low` must say nothing about the nonce.
//! - [`Verdict::NeverMinable`] comes after everything else a text can mean.
//!
//! A verdict is what one node believes. That another node accepted the same bytes outweighs every
//! verdict here.

mod table;
#[cfg(test)]
mod tests;

use table::GROUPS;

/// Most bytes of a text that are read. Clients keep their errors within a few hundred bytes; a
/// longer text is a web page or a dump, and reading it all would let a node choose how much work
/// its refusal costs.
const MAX_TEXT: usize = 4096;

/// What a node's refusal means, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The node has exactly these bytes. As good as an acceptance: keep watching.
    AlreadyKnown,
    /// The node's head has spent this nonce, with this transaction, another attempt or a foreign
    /// one. Look up every own hash of the slot; foreign use is proven by the chain at a safe depth,
    /// never by this text.
    NonceTooLow,
    /// This node misses a predecessor. Offer the predecessors again in nonce order, then the same
    /// bytes; never reassign the nonce.
    NonceTooHigh,
    /// The pool holds another transaction with this nonce at a near or better price. Bid at least
    /// 110 % of the incumbent on both fees (blobs 200 %); if no own attempt is the incumbent,
    /// somebody shares the key: alarm.
    ReplacementUnderpriced,
    /// The price is below the pool's floor, the head's base fee or what a full pool takes. Estimate
    /// again, same nonce.
    Underpriced,
    /// The balance does not cover the worst case of this transaction or of all that are pooled.
    /// Hold the account until it is funded, then offer the same bytes; fail nothing.
    InsufficientFunds,
    /// The pool, or the account's share of it, is full. Back off, lower the in-flight cap, keep the
    /// nonce.
    PoolFull,
    /// These bytes break a rule that no later state of the chain changes: they can never be mined.
    /// Fail the request; where the bytes were ever offered, fill the nonce with a no-op and let the
    /// slot's outcome decide, so that a node that was wrong costs an early failure and never a
    /// second execution.
    NeverMinable,
    /// Not minable at the head that this node sees, which says nothing unless the lane's own head
    /// agrees: the gas limit is above the block gas limit, or the transaction type is not active. A
    /// node that has not synced says this of every transaction, because its head is near genesis.
    /// If the lane's head agrees (a lower gas limit; no base fee for a type that needs one), act as
    /// for [`Verdict::NeverMinable`], since a block gas limit moves by less than 0.1 % a block and
    /// waiting for it holds up the account; otherwise act as for [`Verdict::Unknown`].
    UnminableAtHead,
    /// The sender, or an authority of a delegation, is taken by a pooled transaction of another
    /// kind. Wait for that one; a higher bid does not help.
    AddressReserved,
    /// The sender is a delegated account (EIP-7702), which may have one transaction in flight. Set
    /// its cap to 1 and wait for the lowest nonce.
    DelegatedLimit,
    /// The node is still inserting another transaction with this nonce. Wait briefly, then ask for
    /// the hash.
    SameNonceInProgress,
    /// The node executed the transaction against its present state, and it failed. That is about
    /// this moment: the same bytes may succeed later, and development nodes report it for
    /// transactions they have mined. The nonce stays bound; fail the request only by a policy that
    /// first makes sure of the slot.
    RevertsNow,
    /// The node or a gateway before it is overloaded, limits the rate, is syncing or stops. It may
    /// or may not have forwarded the bytes: act as for [`Verdict::Unknown`], and give this endpoint
    /// a pause.
    Busy,
    /// Nothing is known: the node may have the transaction. The nonce stays bound; offer the same
    /// bytes again, elsewhere if possible.
    Unknown,
}

/// Software that words its own refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// go-ethereum, and by it op-geth and most EVM chains.
    Geth,
    /// Erigon.
    Erigon,
    /// Reth, and by it op-reth.
    Reth,
    /// Nethermind.
    Nethermind,
    /// Hyperledger Besu.
    Besu,
    /// Foundry's development node.
    Anvil,
    /// Arbitrum Nitro.
    Nitro,
    /// zkSync Era.
    ZkSync,
    /// A gateway in front of nodes.
    Provider,
}

/// Texts of one meaning.
struct Group {
    /// The meaning.
    verdict: Verdict,
    /// The texts.
    rules: &'static [Rule],
}

/// One text.
struct Rule {
    /// Lower-case part of the message, found as whole words in any case. Empty: the code alone
    /// decides.
    text: &'static str,
    /// JSON-RPC code that must come with it, where the text alone is too common.
    code: Option<i64>,
    /// Who says it.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "the tests hold each claim against a recorded message"
        )
    )]
    clients: &'static [Client],
}

/// The meaning of a refusal. `code` is the JSON-RPC error code, `message` the node's text
/// untouched; only the first 4096 bytes of it count. A text that is not listed is
/// [`Verdict::Unknown`].
#[must_use]
pub fn triage(code: i64, message: &str) -> Verdict {
    find(code, message).map_or(Verdict::Unknown, |(verdict, _)| verdict)
}

/// The sender's next nonce at the node's head, if a refusal over a nonce tells it. It is one node's
/// word about its own head: a reason to read the chain again, never proof that a nonce was spent.
/// Nonces that count the pool in, such as geth's `gapped nonce` and Nethermind's `Expected nonce`,
/// are left out: they may be above the chain's.
#[must_use]
pub fn next_nonce_hint(message: &str) -> Option<u64> {
    match triage(0, message) {
        Verdict::NonceTooLow | Verdict::NonceTooHigh => {}
        Verdict::AlreadyKnown
        | Verdict::ReplacementUnderpriced
        | Verdict::Underpriced
        | Verdict::InsufficientFunds
        | Verdict::PoolFull
        | Verdict::NeverMinable
        | Verdict::UnminableAtHead
        | Verdict::AddressReserved
        | Verdict::DelegatedLimit
        | Verdict::SameNonceInProgress
        | Verdict::RevertsNow
        | Verdict::Busy
        | Verdict::Unknown => return None,
    }
    let text = readable(message);
    table::NEXT_NONCE_MARKS
        .iter()
        .find_map(|mark| words(&text, mark).next())
        .and_then(leading_number)
}

fn find(code: i64, message: &str) -> Option<(Verdict, &'static Rule)> {
    let text = readable(message);
    GROUPS
        .iter()
        .flat_map(|group| group.rules.iter().map(|rule| (group.verdict, rule)))
        .find(|(_, rule)| applies(rule, code, &text))
}

fn readable(message: &str) -> String {
    message[..message.floor_char_boundary(MAX_TEXT)].to_ascii_lowercase()
}

fn applies(rule: &Rule, code: i64, text: &str) -> bool {
    rule.code.is_none_or(|wanted| wanted == code)
        && (rule.text.is_empty() || words(text, rule.text).next().is_some())
}

/// What follows each place where `wanted` stands in `text` as whole words: `known transaction` is
/// not found in `unknown transaction`.
fn words<'a>(text: &'a str, wanted: &'a str) -> impl Iterator<Item = &'a str> {
    let starts_word = wanted.starts_with(|c: char| c.is_ascii_alphanumeric());
    let ends_word = wanted.ends_with(|c: char| c.is_ascii_alphanumeric());
    text.match_indices(wanted).filter_map(move |(at, _)| {
        let rest = &text[at + wanted.len()..];
        let joined_before = starts_word && text[..at].ends_with(|c: char| c.is_alphanumeric());
        let joined_after = ends_word && rest.starts_with(|c: char| c.is_alphanumeric());
        (!joined_before && !joined_after).then_some(rest)
    })
}

/// The decimal number that `text` starts with. `None` where it is none, does not fit or is part of
/// something longer, such as `0x12` or `1.5`.
fn leading_number(text: &str) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let mut after = rest.chars();
    let goes_on = match after.next() {
        Some('.') => after.next().is_some_and(|c| c.is_ascii_digit()),
        Some(c) => c.is_alphanumeric() || c == '_',
        None => false,
    };
    if goes_on { None } else { digits.parse().ok() }
}
