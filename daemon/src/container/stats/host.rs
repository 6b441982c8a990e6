//! Counters that the kernel keeps for the whole host, or for a network namespace.

use std::collections::BTreeMap;

use dhow_engine_api::container::NetworkStats;

/// What `/proc/stat` counts in: hundredths of a second, on every architecture there is.
const TICK: u64 = 10_000_000;

/// CPU time of the host in nanoseconds, idle time included.
pub(super) fn cpu_time() -> u64 {
    std::fs::read_to_string("/proc/stat").map_or(0, |text| parse_cpu(&text))
}

fn parse_cpu(text: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with("cpu ")).unwrap_or_default();
    // Guests are counted as users too; the last two columns would count them twice.
    line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>() * TICK
}

/// Traffic of the interfaces that a process sees, without its loopback.
pub(super) fn networks(pid: u32) -> BTreeMap<String, NetworkStats> {
    std::fs::read_to_string(format!("/proc/{pid}/net/dev"))
        .map_or_else(|_| BTreeMap::new(), |text| parse_dev(&text))
}

fn parse_dev(text: &str) -> BTreeMap<String, NetworkStats> {
    let interface = |line: &str| {
        let (name, counters) = line.split_once(':')?;
        let numbers: Vec<u64> = counters.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            _,
            _,
            _,
            _,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
            ..,
        ] = numbers[..]
        else {
            return None;
        };
        let stats = NetworkStats {
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
        };
        Some((name.trim().to_owned(), stats))
    };
    text.lines().filter_map(interface).filter(|(name, _)| name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_not_counted_twice() {
        assert_eq!(parse_cpu("cpu  1 2 3 4 5 6 7 8 100 100\ncpu0 1 1 1 1\n"), 36 * TICK);
    }

    #[test]
    fn interfaces_are_read_from_their_columns() {
        let text = "Inter-|   Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 10 2 3 4 0 0 0 0 20 5 6 7 0 0 0 0\n";
        let networks = parse_dev(text);
        assert_eq!(networks.len(), 1);
        let eth0 = &networks["eth0"];
        assert_eq!((eth0.rx_bytes, eth0.rx_dropped, eth0.tx_bytes, eth0.tx_dropped), (10, 4, 20, 7));
    }
}
