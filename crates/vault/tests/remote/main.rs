//! Signers whose keys are kept elsewhere, against services on loopback sockets.

#[cfg(test)]
mod aws;
#[cfg(test)]
mod azure;
#[cfg(test)]
mod cdp;
#[cfg(test)]
mod google;
#[cfg(test)]
mod support;
#[cfg(test)]
mod turnkey;
#[cfg(test)]
mod vault;
