//! The numbers as Prometheus reads them: its text format, version 0.0.4.
//!
//! The library writes OpenMetrics. There a counter is described without the `_total` that its samples have; the older format, which
//! everything that scrapes can read, wants the same name in both places. So counters are described with it, and written as plain samples.

use std::fmt;
use std::time::UNIX_EPOCH;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::metered::Times;
use super::{Count, Metrics, Row, process, ways};
use crate::labels::REFUSALS;

/// The content type of [`written`].
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What [`written`] writes.
pub(super) fn registry(metrics: &'static Metrics) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics));
    registry
}

/// All numbers, as they stand.
pub(super) fn written(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::with_capacity(64 << 10);
    text::encode_registry(&mut text, registry)?;
    Ok(text)
}

/// Labels and the value of one sample.
type Sample = (Vec<(&'static str, &'static str)>, u64);

impl Collector for &'static Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        // First: of what is not open here, the end is counted below.
        let open: Vec<_> = self.rows.iter().flat_map(Row::open).collect();
        let help = "Conversations that are open.";
        families.samples("anywire_connections_open", help, MetricType::Gauge, &open)?;
        for Counter { name, help, of } in COUNTERS {
            let samples: Vec<_> = self.rows.iter().flat_map(of).collect();
            families.samples(name, help, MetricType::Counter, &samples)?;
        }
        families.times(&self.rows)?;
        for (name, help, value) in [
            (
                "anywire_accept_errors_total",
                "Times that the system had no room for another connection; accepting rests for a while then.",
                self.accept_errors.get(),
            ),
            (
                "anywire_log_lines_lost_total",
                "Lines of the log that nobody read in time.",
                (self.lost)() as u64,
            ),
        ] {
            families.samples(name, help, MetricType::Counter, &[(Vec::new(), value)])?;
        }
        let begun = self.begun.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        families.value(
            "process_start_time_seconds",
            "When this server began, since 1970.",
            begun,
        )?;
        for (name, help, value) in [
            ("process_open_fds", "Descriptors open in this process.", process::open_files()),
            ("process_max_fds", "Descriptors that may be.", process::max_files()),
            (
                "process_resident_memory_bytes",
                "Memory of this process that is resident.",
                process::resident_len(),
            ),
        ] {
            if let Some(value) = value {
                let sample = (Vec::new(), value);
                families.samples(name, help, MetricType::Gauge, &[sample])?;
            }
        }
        Ok(())
    }
}

/// A counter that services have.
struct Counter {
    name: &'static str,
    help: &'static str,
    /// Its samples of one service.
    of: fn(&Row) -> Vec<Sample>,
}

const COUNTERS: [Counter; 6] = [
    Counter {
        name: "anywire_connections_total",
        help: "Connections accepted.",
        of: |row| row.only(row.kind.streams, row.connections.get()),
    },
    Counter {
        name: "anywire_connections_ended_total",
        help: "Conversations that are over, by how they ended, and why.",
        of: Row::ended,
    },
    Counter {
        name: "anywire_requests_refused_total",
        help: "Requests for files that were refused, by why; some end the conversation.",
        of: Row::refused,
    },
    Counter {
        name: "anywire_bytes_total",
        help: "Bytes that were received and dealt with, and bytes of answers, those of open conversations too; \
               after an abort some may not have left.",
        of: |row| {
            let (received, sent) = row.steps.bytes();
            let sample = |direction, bytes| (vec![row.label(), ("direction", direction)], bytes);
            vec![sample("in", received), sample("out", sent)]
        },
    },
    Counter {
        name: "anywire_files_stored_total",
        help: "Files that are whole under their names.",
        of: |row| row.only(row.kind.files, row.stored.get()),
    },
    Counter {
        name: "anywire_datagrams_total",
        help: "Datagrams answered.",
        of: |row| row.only(row.kind.datagrams, row.datagrams.get()),
    },
];

impl Row {
    fn label(&self) -> (&'static str, &'static str) {
        ("service", self.service)
    }

    /// The only sample of a number that this service has, or none.
    fn only(&self, has: bool, value: u64) -> Vec<Sample> {
        has.then(|| (vec![self.label()], value)).into_iter().collect()
    }

    /// What is not to be expected of this service is there only if it was.
    fn ended(&self) -> Vec<Sample> {
        let samples = ways().zip(&self.ended).filter_map(|((end, reason), count)| {
            let count = count.get();
            let expected =
                self.kind.streams && end != "other" && (end != "refused" || self.may_be_refused());
            let mut labels = vec![self.label(), ("end", end)];
            labels.extend(reason.map(|reason| ("reason", reason)));
            (expected || count > 0).then_some((labels, count))
        });
        samples.collect()
    }

    fn may_be_refused(&self) -> bool {
        self.kind.files || self.kind.log
    }

    fn refused(&self) -> Vec<Sample> {
        let samples = REFUSALS.iter().zip(&self.refused);
        let samples =
            samples.map(|(why, count)| (vec![self.label(), ("reason", *why)], count.get()));
        samples.filter(|(_, count)| self.may_be_refused() || *count > 0).collect()
    }

    /// Nobody counts them down: that is what has come less what is over.
    fn open(&self) -> Vec<Sample> {
        let over: u64 = self.ended.iter().map(Count::get).sum();
        self.only(self.kind.streams, self.connections.get().saturating_sub(over))
    }
}

struct Families<'e>(DescriptorEncoder<'e>);

impl Families<'_> {
    fn samples(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: &[Sample],
    ) -> fmt::Result {
        if samples.is_empty() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in samples {
            if labels.is_empty() {
                family.encode_gauge(value)?;
            } else {
                family.encode_family(labels)?.encode_gauge(value)?;
            }
        }
        Ok(())
    }

    fn value(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn times(&mut self, rows: &[Row]) -> fmt::Result {
        let (name, help) = (
            "anywire_step_seconds",
            "Time of a step of a session, or of a datagram's answer: without I/O.",
        );
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for row in rows {
            let Times { seconds, count, buckets } = row.steps.times();
            let labels = [row.label()];
            let mut sample = family.encode_family(&labels)?;
            sample.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)?;
        }
        Ok(())
    }
}
