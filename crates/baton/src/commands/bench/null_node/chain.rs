//! The chain that the null node pretends.

use std::collections::{BTreeMap, HashMap};

use alloy_primitives::keccak256;
use baton_model::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

/// Blocks whose transactions are remembered: relayers look back some minutes at most.
const BLOCKS_MAX: u64 = 1000;
/// Transfers that may wait; geth's pool holds as many.
const POOL_MAX: usize = 100_000;
/// JSON-RPC codes of geth.
const METHOD_NOT_FOUND: i64 = -32_601;
const REFUSED: i64 = -32_000;
/// Wei per gas.
const BASE_FEE: &str = "0x3b9aca00";
const TIP: &str = "0x3b9aca00";
/// A million coins.
const RICHES: &str = "0xd3c21bcecceda1000000";

/// A result, or code and text of an error.
pub(super) type Answer = Result<Value, (i64, String)>;

/// One account's transfers, block by block.
#[derive(Debug)]
pub(super) struct Chain {
    id: u64,
    account: Option<Address>,
    nonce: u64,
    pool: BTreeMap<u64, Transfer>,
    blocks: BTreeMap<u64, Block>,
    mined_in: HashMap<B256, u64>,
    balances: HashMap<Address, U256>,
    head: u64,
}

#[derive(Clone, Debug)]
struct Transfer {
    hash: B256,
    to: Address,
    value: U256,
}

#[derive(Debug)]
struct Block {
    transfers: Vec<Transfer>,
    /// The account's nonce after it.
    nonce: u64,
}

impl Chain {
    pub(super) fn new(id: u64) -> Self {
        let genesis = Block {
            transfers: Vec::new(),
            nonce: 0,
        };
        Self {
            id,
            account: None,
            nonce: 0,
            pool: BTreeMap::new(),
            blocks: [(0, genesis)].into(),
            mined_in: HashMap::new(),
            balances: HashMap::new(),
            head: 0,
        }
    }

    pub(super) fn set_account(&mut self, account: Address) {
        self.account = Some(account);
    }

    /// Puts everything that is in order into a block.
    pub(super) fn mine(&mut self) {
        self.head += 1;
        let mut transfers = Vec::new();
        while let Some(transfer) = self.pool.remove(&self.nonce) {
            *self.balances.entry(transfer.to).or_default() += transfer.value;
            self.mined_in.insert(transfer.hash, self.head);
            transfers.push(transfer);
            self.nonce += 1;
        }
        self.blocks.insert(
            self.head,
            Block {
                transfers,
                nonce: self.nonce,
            },
        );
        if let Some(old) = self.blocks.remove(&self.head.wrapping_sub(BLOCKS_MAX)) {
            for transfer in old.transfers {
                self.mined_in.remove(&transfer.hash);
            }
        }
    }

    pub(super) fn answer(&mut self, method: &str, params: &[Value]) -> Answer {
        let missing = || (REFUSED, format!("{method}: not enough parameters"));
        let param = |place: usize| params.get(place).ok_or_else(missing);
        let found = match method {
            "eth_chainId" => json!(format!("{:#x}", self.id)),
            "eth_blockNumber" => json!(format!("{:#x}", self.head)),
            "eth_gasPrice" => json!(BASE_FEE),
            "eth_estimateGas" => json!("0x5208"),
            "eth_feeHistory" => json!({
                "oldestBlock": format!("{:#x}", self.head),
                "baseFeePerGas": [BASE_FEE, BASE_FEE],
                "gasUsedRatio": [0.5],
                "reward": params.get(2).and_then(Value::as_array).map(|p| [vec![TIP; p.len()]]),
            }),
            "eth_getBlockByNumber" => {
                let full = params.get(1) == Some(&Value::Bool(true));
                self.block(self.number(param(0)?), full)
            }
            "eth_getTransactionCount" => self.count(self.number(param(1)?), param(1)?)?,
            "eth_getBalance" => self.balance(param(0)?),
            "eth_getBlockReceipts" => self.receipts(self.number(param(0)?)),
            "eth_getTransactionReceipt" => self.receipt_of(param(0)?),
            "eth_getTransactionByHash" => Value::Null,
            "eth_sendRawTransaction" => return self.take(param(0)?),
            _ => {
                return Err((
                    METHOD_NOT_FOUND,
                    format!("the method {method} does not exist"),
                ));
            }
        };
        Ok(found)
    }

    fn take(&mut self, raw: &Value) -> Answer {
        let refused = |text: &str| (REFUSED, text.to_owned());
        let raw: Bytes = serde_json::from_value(raw.clone()).map_err(|_| refused("invalid hex"))?;
        let decoded = baton_chain::tx::decode_signed(&raw).map_err(|e| (REFUSED, e.to_string()))?;
        let to = decoded
            .tx
            .call
            .to
            .ok_or_else(|| refused("only transfers are taken here"))?;
        let transfer = Transfer {
            hash: decoded.hash,
            to,
            value: decoded.tx.call.value,
        };
        let nonce = decoded.tx.nonce;
        if nonce < self.nonce {
            return Err(refused("nonce too low"));
        }
        match self.pool.get(&nonce) {
            Some(known) if known.hash == transfer.hash => Err(refused("already known")),
            None if self.pool.len() >= POOL_MAX => Err(refused("txpool is full")),
            // Bids are not compared: whoever replaces here means it.
            Some(_) | None => {
                let hash = transfer.hash;
                self.pool.insert(nonce, transfer);
                Ok(json!(hash))
            }
        }
    }

    /// The number that a tag or a quantity means.
    fn number(&self, tag: &Value) -> u64 {
        let digits = tag.as_str().and_then(|tag| tag.strip_prefix("0x"));
        digits
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .unwrap_or(self.head)
    }

    fn count(&self, number: u64, tag: &Value) -> Answer {
        if tag == "pending" {
            let waiting = (self.nonce..).take_while(|nonce| self.pool.contains_key(nonce));
            return Ok(json!(format!("{:#x}", self.nonce + waiting.count() as u64)));
        }
        let block = self.blocks.get(&number);
        let block = block.ok_or_else(|| (REFUSED, "header not found".to_owned()))?;
        Ok(json!(format!("{:#x}", block.nonce)))
    }

    fn balance(&self, address: &Value) -> Value {
        let address: Option<Address> = serde_json::from_value(address.clone()).ok();
        if address.is_some() && address == self.account {
            return json!(RICHES);
        }
        let balance = address.and_then(|address| self.balances.get(&address));
        json!(format!("{:#x}", balance.copied().unwrap_or_default()))
    }

    fn block(&self, number: u64, full: bool) -> Value {
        let Some(block) = self.blocks.get(&number) else {
            return Value::Null;
        };
        let transactions: Vec<Value> = block
            .transfers
            .iter()
            .map(|transfer| match full {
                true => json!({ "hash": transfer.hash, "to": transfer.to }),
                false => json!(transfer.hash),
            })
            .collect();
        json!({
            "number": format!("{number:#x}"),
            "hash": hash_of(number),
            "parentHash": hash_of(number.wrapping_sub(1)),
            "timestamp": format!("{number:#x}"),
            "baseFeePerGas": BASE_FEE,
            "gasLimit": "0x2540be400",
            "transactions": transactions,
        })
    }

    fn receipts(&self, number: u64) -> Value {
        let Some(block) = self.blocks.get(&number) else {
            return Value::Null;
        };
        block
            .transfers
            .iter()
            .map(|transfer| receipt(transfer.hash, number))
            .collect()
    }

    fn receipt_of(&self, hash: &Value) -> Value {
        let hash: Option<B256> = serde_json::from_value(hash.clone()).ok();
        let found = hash.and_then(|hash| Some((hash, *self.mined_in.get(&hash)?)));
        found.map_or(Value::Null, |(hash, number)| receipt(hash, number))
    }
}

fn hash_of(number: u64) -> B256 {
    keccak256(number.to_be_bytes())
}

fn receipt(hash: B256, number: u64) -> Value {
    json!({
        "transactionHash": hash,
        "blockHash": hash_of(number),
        "blockNumber": format!("{number:#x}"),
        "status": "0x1",
        "gasUsed": "0x5208",
        "effectiveGasPrice": BASE_FEE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::bench::keys::{BenchKey, targets, transfer};

    #[test]
    fn transfers_are_mined_in_order_once_and_answered_for() {
        let key = BenchKey::derive(1, "a").unwrap();
        let to = targets(1, 1, 3);
        let raw = |nonce: usize| json!(transfer(&key.signer, 7, nonce as u64, to[nonce]));
        let mut chain = Chain::new(7);
        let ask = |chain: &mut Chain, method: &str, params: Value| {
            chain.answer(method, params.as_array().unwrap())
        };
        let first = ask(&mut chain, "eth_sendRawTransaction", json!([raw(0)])).unwrap();
        ask(&mut chain, "eth_sendRawTransaction", json!([raw(2)])).unwrap();
        let again = ask(&mut chain, "eth_sendRawTransaction", json!([raw(0)]));
        assert_eq!(again, Err((REFUSED, "already known".to_owned())));
        let pending = ask(
            &mut chain,
            "eth_getTransactionCount",
            json!([to[0], "pending"]),
        );
        assert_eq!(pending, Ok(json!("0x1")));
        chain.mine();
        let late = ask(&mut chain, "eth_sendRawTransaction", json!([raw(0)]));
        assert_eq!(late, Err((REFUSED, "nonce too low".to_owned())));

        let block = ask(&mut chain, "eth_getBlockByNumber", json!(["0x1", false])).unwrap();
        assert_eq!(block["transactions"], json!([first]));
        let receipts = ask(&mut chain, "eth_getBlockReceipts", json!(["0x1"])).unwrap();
        let one = ask(&mut chain, "eth_getTransactionReceipt", json!([first])).unwrap();
        assert_eq!((&receipts[0], &one["blockHash"]), (&one, &block["hash"]));
        let mut balance = |to| ask(&mut chain, "eth_getBalance", json!([to, "latest"])).unwrap();
        assert_eq!(
            [balance(to[0]), balance(to[2])],
            [json!("0x1"), json!("0x0")]
        );

        ask(&mut chain, "eth_sendRawTransaction", json!([raw(1)])).unwrap();
        chain.mine();
        let count = ask(&mut chain, "eth_getTransactionCount", json!([to[0], "0x2"]));
        assert_eq!(count, Ok(json!("0x3")));
        let unknown = ask(&mut chain, "eth_getTransactionCount", json!([to[0], "0x9"]));
        assert!(unknown.is_err());
        assert!(ask(&mut chain, "eth_newFilter", json!([])).unwrap_err().0 == METHOD_NOT_FOUND);
    }
}
