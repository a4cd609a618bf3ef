/* control/config_modes.c: which of a broker's keys change without a restart.
 *
 * What Apache Kafka 4.3.1 says of its keys; those that are not here need a restart. */
#include <stdlib.h>
#include <string.h>

#include "control/config_keys.h"

struct mode {
    const char *name;
    enum mr_config_mode mode;
};

/* clang-format off */
static const struct mode modes[] = {
    {"background.threads", MR_CONFIG_MODE_CLUSTER},
    {"compression.gzip.level", MR_CONFIG_MODE_CLUSTER},
    {"compression.lz4.level", MR_CONFIG_MODE_CLUSTER},
    {"compression.type", MR_CONFIG_MODE_CLUSTER},
    {"compression.zstd.level", MR_CONFIG_MODE_CLUSTER},
    {"config.providers", MR_CONFIG_MODE_CLUSTER},
    {"cordoned.log.dirs", MR_CONFIG_MODE_BROKER},
    {"follower.fetch.last.tiered.offset.enable", MR_CONFIG_MODE_CLUSTER},
    {"group.consumer.assignment.interval.ms", MR_CONFIG_MODE_CLUSTER},
    {"group.coordinator.cached.buffer.max.bytes", MR_CONFIG_MODE_CLUSTER},
    {"group.share.assignment.interval.ms", MR_CONFIG_MODE_CLUSTER},
    {"group.streams.assignment.interval.ms", MR_CONFIG_MODE_CLUSTER},
    {"listener.security.protocol.map", MR_CONFIG_MODE_BROKER},
    {"listeners", MR_CONFIG_MODE_BROKER},
    {"log.cleaner.backoff.ms", MR_CONFIG_MODE_CLUSTER},
    {"log.cleaner.dedupe.buffer.size", MR_CONFIG_MODE_CLUSTER},
    {"log.cleaner.delete.retention.ms", MR_CONFIG_MODE_CLUSTER},
    {"log.cleaner.io.buffer.load.factor", MR_CONFIG_MODE_CLUSTER},
    {"log.cleaner.io.buffer.size", MR_CONFIG_MODE_CLUSTER},
    {"log.cleaner.io.max.bytes.per.second", MR_CONFIG_MODE_CLUSTER},
    {"log.cleaner.max.compaction.lag.ms", MR_CONFIG_MODE_CLUSTER},
    {"log.cleaner.min.cleanable.ratio", MR_CONFIG_MODE_CLUSTER},
    {"log.cleaner.min.compaction.lag.ms", MR_CONFIG_MODE_CLUSTER},
    {"log.cleaner.threads", MR_CONFIG_MODE_CLUSTER},
    {"log.cleanup.policy", MR_CONFIG_MODE_CLUSTER},
    {"log.flush.interval.messages", MR_CONFIG_MODE_CLUSTER},
    {"log.flush.interval.ms", MR_CONFIG_MODE_CLUSTER},
    {"log.index.interval.bytes", MR_CONFIG_MODE_CLUSTER},
    {"log.index.size.max.bytes", MR_CONFIG_MODE_CLUSTER},
    {"log.local.retention.bytes", MR_CONFIG_MODE_CLUSTER},
    {"log.local.retention.ms", MR_CONFIG_MODE_CLUSTER},
    {"log.message.timestamp.after.max.ms", MR_CONFIG_MODE_CLUSTER},
    {"log.message.timestamp.before.max.ms", MR_CONFIG_MODE_CLUSTER},
    {"log.message.timestamp.type", MR_CONFIG_MODE_CLUSTER},
    {"log.preallocate", MR_CONFIG_MODE_CLUSTER},
    {"log.retention.bytes", MR_CONFIG_MODE_CLUSTER},
    {"log.retention.ms", MR_CONFIG_MODE_CLUSTER},
    {"log.roll.jitter.ms", MR_CONFIG_MODE_CLUSTER},
    {"log.roll.ms", MR_CONFIG_MODE_CLUSTER},
    {"log.segment.bytes", MR_CONFIG_MODE_CLUSTER},
    {"log.segment.delete.delay.ms", MR_CONFIG_MODE_CLUSTER},
    {"max.connection.creation.rate", MR_CONFIG_MODE_CLUSTER},
    {"max.connections", MR_CONFIG_MODE_CLUSTER},
    {"max.connections.per.ip", MR_CONFIG_MODE_CLUSTER},
    {"max.connections.per.ip.overrides", MR_CONFIG_MODE_CLUSTER},
    {"message.max.bytes", MR_CONFIG_MODE_CLUSTER},
    {"metric.reporters", MR_CONFIG_MODE_CLUSTER},
    {"min.insync.replicas", MR_CONFIG_MODE_CLUSTER},
    {"num.io.threads", MR_CONFIG_MODE_CLUSTER},
    {"num.network.threads", MR_CONFIG_MODE_CLUSTER},
    {"num.recovery.threads.per.data.dir", MR_CONFIG_MODE_CLUSTER},
    {"num.replica.fetchers", MR_CONFIG_MODE_CLUSTER},
    {"principal.builder.class", MR_CONFIG_MODE_BROKER},
    {"producer.id.expiration.ms", MR_CONFIG_MODE_CLUSTER},
    {"remote.fetch.max.wait.ms", MR_CONFIG_MODE_CLUSTER},
    {"remote.list.offsets.request.timeout.ms", MR_CONFIG_MODE_CLUSTER},
    {"remote.log.index.file.cache.total.size.bytes", MR_CONFIG_MODE_CLUSTER},
    {"remote.log.manager.copier.thread.pool.size", MR_CONFIG_MODE_CLUSTER},
    {"remote.log.manager.copy.max.bytes.per.second", MR_CONFIG_MODE_CLUSTER},
    {"remote.log.manager.expiration.thread.pool.size", MR_CONFIG_MODE_CLUSTER},
    {"remote.log.manager.fetch.max.bytes.per.second", MR_CONFIG_MODE_CLUSTER},
    {"remote.log.manager.follower.thread.pool.size", MR_CONFIG_MODE_CLUSTER},
    {"remote.log.reader.threads", MR_CONFIG_MODE_CLUSTER},
    {"sasl.enabled.mechanisms", MR_CONFIG_MODE_BROKER},
    {"sasl.jaas.config", MR_CONFIG_MODE_BROKER},
    {"sasl.kerberos.kinit.cmd", MR_CONFIG_MODE_BROKER},
    {"sasl.kerberos.min.time.before.relogin", MR_CONFIG_MODE_BROKER},
    {"sasl.kerberos.principal.to.local.rules", MR_CONFIG_MODE_BROKER},
    {"sasl.kerberos.service.name", MR_CONFIG_MODE_BROKER},
    {"sasl.kerberos.ticket.renew.jitter", MR_CONFIG_MODE_BROKER},
    {"sasl.kerberos.ticket.renew.window.factor", MR_CONFIG_MODE_BROKER},
    {"sasl.login.refresh.buffer.seconds", MR_CONFIG_MODE_BROKER},
    {"sasl.login.refresh.min.period.seconds", MR_CONFIG_MODE_BROKER},
    {"sasl.login.refresh.window.factor", MR_CONFIG_MODE_BROKER},
    {"sasl.login.refresh.window.jitter", MR_CONFIG_MODE_BROKER},
    {"sasl.mechanism.inter.broker.protocol", MR_CONFIG_MODE_BROKER},
    {"share.coordinator.cached.buffer.max.bytes", MR_CONFIG_MODE_CLUSTER},
    {"ssl.cipher.suites", MR_CONFIG_MODE_BROKER},
    {"ssl.client.auth", MR_CONFIG_MODE_BROKER},
    {"ssl.enabled.protocols", MR_CONFIG_MODE_BROKER},
    {"ssl.endpoint.identification.algorithm", MR_CONFIG_MODE_BROKER},
    {"ssl.engine.factory.class", MR_CONFIG_MODE_BROKER},
    {"ssl.key.password", MR_CONFIG_MODE_LISTENER},
    {"ssl.keymanager.algorithm", MR_CONFIG_MODE_BROKER},
    {"ssl.keystore.certificate.chain", MR_CONFIG_MODE_LISTENER},
    {"ssl.keystore.key", MR_CONFIG_MODE_LISTENER},
    {"ssl.keystore.location", MR_CONFIG_MODE_LISTENER},
    {"ssl.keystore.password", MR_CONFIG_MODE_LISTENER},
    {"ssl.keystore.type", MR_CONFIG_MODE_LISTENER},
    {"ssl.protocol", MR_CONFIG_MODE_BROKER},
    {"ssl.provider", MR_CONFIG_MODE_BROKER},
    {"ssl.secure.random.implementation", MR_CONFIG_MODE_BROKER},
    {"ssl.trustmanager.algorithm", MR_CONFIG_MODE_BROKER},
    {"ssl.truststore.certificates", MR_CONFIG_MODE_LISTENER},
    {"ssl.truststore.location", MR_CONFIG_MODE_LISTENER},
    {"ssl.truststore.password", MR_CONFIG_MODE_LISTENER},
    {"ssl.truststore.type", MR_CONFIG_MODE_LISTENER},
    {"transaction.partition.verification.enable", MR_CONFIG_MODE_CLUSTER},
    {"unclean.leader.election.enable", MR_CONFIG_MODE_CLUSTER},
};
/* clang-format on */

static int
compare_mode(const void *name, const void *mode)
{
    return strcmp(name, ((const struct mode *)mode)->name);
}

enum mr_config_mode
mr_config_mode(const char *name)
{
    const struct mode *found =
        bsearch(name, modes, sizeof(modes) / sizeof(modes[0]), sizeof(modes[0]), compare_mode);

    return found ? found->mode : MR_CONFIG_MODE_RESTART;
}
