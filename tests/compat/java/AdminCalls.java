/* Every call of Kafka's Admin interface, once with what should succeed or be refused by any broker of
 * this kind. One line for each: its name, and the result or the class of the exception. Fails where
 * the interface has a method that is not called here.
 *
 * Usage: java -cp JARS AdminCalls.java HOST:PORT */
import java.lang.reflect.Method;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.*;
import org.apache.kafka.common.resource.*;
import org.apache.kafka.common.serialization.StringSerializer;

public class AdminCalls {
    interface Call {
        Object run() throws Exception;
    }

    static final Set<String> CALLED = new HashSet<>();
    /* No calls to a broker. */
    static final Set<String> LOCAL = Set.of("create", "close", "metrics",
        "registerMetricForSubscription", "unregisterMetricFromSubscription");

    static String tidy(Object value) {
        return String.valueOf(value)
            .replaceAll("(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])", "ID")
            .replaceAll("127\\.0\\.0\\.1:[0-9]+", "ADDRESS")
            .replaceAll("/[^ ,}\\]]*(kafka|data)(/[^ ,}\\]]*)?", "DIR")
            .replaceAll("(size|totalBytes|usableBytes)=[^,)}]*", "$1=N");
    }

    static void call(String name, Call call) {
        String shown;
        CALLED.add(name.split(" ")[0]);
        try {
            shown = tidy(call.run());
        } catch (ExecutionException exception) {
            shown = "throws " + exception.getCause().getClass().getSimpleName();
        } catch (Exception exception) {
            shown = "throws " + exception.getClass().getSimpleName();
        }
        System.out.println(name + ": " + shown);
    }

    static <T> T get(KafkaFuture<T> future) throws Exception {
        return future.get(20, TimeUnit.SECONDS);
    }

    /* A map whose values may fail each. */
    static <K, V> Object each(Map<K, KafkaFuture<V>> futures) throws Exception {
        Map<String, Object> shown = new TreeMap<>();
        for (Map.Entry<K, KafkaFuture<V>> entry : futures.entrySet()) {
            try {
                shown.put(entry.getKey().toString(), get(entry.getValue()));
            } catch (ExecutionException exception) {
                shown.put(entry.getKey().toString(), exception.getCause().getClass().getSimpleName());
            }
        }
        return shown;
    }

    static <T> List<String> sorted(Collection<T> values) {
        return values.stream().map(AdminCalls::tidy).sorted().collect(Collectors.toList());
    }

    static final TopicPartition T0 = new TopicPartition("admin", 0);

    static void produce(String server) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", server);
        properties.put("enable.idempotence", "true");
        try (Producer<String, String> producer =
                new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < 10; i++) {
                producer.send(new ProducerRecord<>("admin", 0, 1700000000000L + i, "key", "v" + i)).get();
            }
        }
    }

    static void topics(Admin admin, String server) throws Exception {
        call("createTopics", () -> each(admin.createTopics(List.of(new NewTopic("admin", 2, (short) 1),
            new NewTopic("admin-2", 1, (short) 1), new NewTopic("a b", 1, (short) 1))).values()));
        call("createPartitions", () -> each(admin.createPartitions(Map.of("admin",
            NewPartitions.increaseTo(3), "no-such", NewPartitions.increaseTo(3))).values()));
        Thread.sleep(1000); /* Kafka's broker hears of them from its controller */
        produce(server);
        call("listTopics", () -> new TreeSet<>(get(admin.listTopics().names())));
        call("describeTopics", () -> each(admin.describeTopics(List.of("admin", "no-such"))
            .topicNameValues()));
        call("deleteTopics", () -> each(admin.deleteTopics(List.of("admin-2", "no-such"))
            .topicNameValues()));
        call("deleteRecords", () -> tidy(get(admin.deleteRecords(Map.of(T0,
            RecordsToDelete.beforeOffset(3))).lowWatermarks().get(T0)).lowWatermark()));
        for (OffsetSpec spec : List.of(OffsetSpec.earliest(), OffsetSpec.latest(),
                OffsetSpec.maxTimestamp(), OffsetSpec.forTimestamp(1700000000005L),
                OffsetSpec.earliestLocal(), OffsetSpec.latestTiered())) {
            call("listOffsets " + spec.getClass().getSimpleName(),
                () -> get(admin.listOffsets(Map.of(T0, spec)).partitionResult(T0)));
        }
        call("describeProducers", () -> get(admin.describeProducers(List.of(T0)).partitionResult(T0))
            .activeProducers().stream().map(one -> one.producerEpoch() + " " + one.lastSequence() + " "
                + one.lastTimestamp() + " " + one.currentTransactionStartOffset())
            .collect(Collectors.toList()));
        call("electLeaders", () -> get(admin.electLeaders(ElectionType.PREFERRED, Set.of(T0))
            .partitions()).values().stream().map(one -> one.map(Object::getClass))
            .collect(Collectors.toList()));
        call("alterPartitionReassignments", () -> get(admin.alterPartitionReassignments(Map.of(T0,
            Optional.of(new NewPartitionReassignment(List.of(1))))).all()));
        call("alterPartitionReassignments unknown", () -> get(admin.alterPartitionReassignments(
            Map.of(T0, Optional.of(new NewPartitionReassignment(List.of(9))))).all()));
        call("listPartitionReassignments", () -> get(admin.listPartitionReassignments()
            .reassignments()));
    }

    static void configs(Admin admin) {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, "admin");
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
        call("incrementalAlterConfigs", () -> get(admin.incrementalAlterConfigs(Map.of(topic, List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", "90000000"), AlterConfigOp.OpType.SET))))
            .all()));
        call("incrementalAlterConfigs bad", () -> get(admin.incrementalAlterConfigs(Map.of(topic,
            List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "x"), AlterConfigOp.OpType.SET))))
            .all()));
        try {
            Thread.sleep(500);
        } catch (InterruptedException exception) {
            throw new IllegalStateException(exception);
        }
        call("describeConfigs", () -> get(admin.describeConfigs(List.of(topic)).all()).get(topic)
            .entries().stream().map(one -> one.name() + "=" + one.value() + " " + one.source() + " "
                + one.type()).sorted().collect(Collectors.toList()));
        call("describeConfigs broker", () -> get(admin.describeConfigs(List.of(broker)).all())
            .get(broker).get("message.max.bytes").value());
        call("listConfigResources", () -> sorted(get(admin.listConfigResources(
            Set.of(ConfigResource.Type.BROKER), new ListConfigResourcesOptions()).all())));
        call("listClientMetricsResources", () -> get(admin.listClientMetricsResources().all()));
        ClientQuotaEntity client = new ClientQuotaEntity(Map.of("client-id", "some"));
        call("alterClientQuotas", () -> get(admin.alterClientQuotas(List.of(new ClientQuotaAlteration(
            client, List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 1e6))))).all()));
        try {
            Thread.sleep(500);
        } catch (InterruptedException exception) {
            throw new IllegalStateException(exception);
        }
        call("describeClientQuotas", () -> get(admin.describeClientQuotas(ClientQuotaFilter.all())
            .entities()));
    }

    static void cluster(Admin admin) {
        call("describeCluster", () -> get(admin.describeCluster().nodes()).size() + " "
            + get(admin.describeCluster().controller()).id());
        call("describeLogDirs", () -> get(admin.describeLogDirs(List.of(1)).allDescriptions()).get(1)
            .values().stream().map(one -> one.error() + " " + new TreeSet<>(one.replicaInfos().keySet()
                .stream().map(TopicPartition::toString).filter(name -> name.startsWith("admin"))
                .collect(Collectors.toList()))).collect(Collectors.toList()));
        TopicPartitionReplica replica = new TopicPartitionReplica("admin", 0, 1);
        call("describeReplicaLogDirs", () -> get(admin.describeReplicaLogDirs(List.of(replica)).values()
            .get(replica)).getCurrentReplicaOffsetLag());
        call("alterReplicaLogDirs", () -> get(admin.alterReplicaLogDirs(Map.of(replica, "/no-such"))
            .all()));
        call("describeFeatures", () -> get(admin.describeFeatures().featureMetadata()) != null);
        call("updateFeatures", () -> get(admin.updateFeatures(Map.of("no.such", new FeatureUpdate(
            (short) 1, FeatureUpdate.UpgradeType.UPGRADE)), new UpdateFeaturesOptions()).all()));
        call("describeMetadataQuorum", () -> {
            QuorumInfo quorum = get(admin.describeMetadataQuorum().quorumInfo());
            return quorum.leaderId() + " " + quorum.voters().size() + " " + quorum.observers().size();
        });
        call("unregisterBroker", () -> get(admin.unregisterBroker(9).all()));
        call("addRaftVoter", () -> get(admin.addRaftVoter(9, Uuid.ONE_UUID, Set.of(
            new RaftVoterEndpoint("CONTROLLER", "127.0.0.1", 1))).all()));
        call("removeRaftVoter", () -> get(admin.removeRaftVoter(9, Uuid.ONE_UUID).all()));
        call("clientInstanceId", () -> admin.clientInstanceId(Duration.ofSeconds(3)));
    }

    static void security(Admin admin) {
        AclBinding acl = new AclBinding(new ResourcePattern(ResourceType.TOPIC, "admin",
            PatternType.LITERAL), new AccessControlEntry("User:me", "*", AclOperation.READ,
            AclPermissionType.ALLOW));
        call("describeAcls", () -> get(admin.describeAcls(AclBindingFilter.ANY).values()));
        call("createAcls", () -> get(admin.createAcls(List.of(acl)).all()));
        call("deleteAcls", () -> get(admin.deleteAcls(List.of(AclBindingFilter.ANY)).all()));
        call("createDelegationToken", () -> get(admin.createDelegationToken().delegationToken()));
        call("renewDelegationToken", () -> get(admin.renewDelegationToken(new byte[3])
            .expiryTimestamp()));
        call("expireDelegationToken", () -> get(admin.expireDelegationToken(new byte[3])
            .expiryTimestamp()));
        call("describeDelegationToken", () -> get(admin.describeDelegationToken().delegationTokens()));
        call("describeUserScramCredentials", () -> get(admin.describeUserScramCredentials().all()));
        call("alterUserScramCredentials", () -> get(admin.alterUserScramCredentials(List.of(
            new UserScramCredentialDeletion("nobody", ScramMechanism.SCRAM_SHA_256))).all()));
        call("listTransactions", () -> get(admin.listTransactions().all()));
        call("describeTransactions", () -> each(Map.of("tx", admin.describeTransactions(List.of("tx"))
            .description("tx"))));
        call("abortTransaction", () -> get(admin.abortTransaction(new AbortTransactionSpec(T0, 99,
            (short) 0, 0)).all()));
        call("fenceProducers", () -> get(admin.fenceProducers(List.of("tx")).all()));
        call("forceTerminateTransaction", () -> get(admin.forceTerminateTransaction("tx").result()));
    }

    static void groups(Admin admin) {
        Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(T0, new OffsetAndMetadata(5));
        call("alterConsumerGroupOffsets", () -> get(admin.alterConsumerGroupOffsets("group", offsets)
            .all()));
        call("listConsumerGroupOffsets", () -> get(admin.listConsumerGroupOffsets("group")
            .partitionsToOffsetAndMetadata()));
        call("listConsumerGroups", () -> sorted(get(admin.listConsumerGroups().all())));
        call("listGroups", () -> sorted(get(admin.listGroups().all())));
        call("describeConsumerGroups", () -> each(admin.describeConsumerGroups(List.of("group"))
            .describedGroups()));
        call("describeConsumerGroups unknown", () -> each(admin.describeConsumerGroups(
            List.of("no-such")).describedGroups()));
        call("describeClassicGroups", () -> each(admin.describeClassicGroups(List.of("group"))
            .describedGroups()));
        call("removeMembersFromConsumerGroup", () -> get(admin.removeMembersFromConsumerGroup("group",
            new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove("nobody")))).all()));
        call("deleteConsumerGroupOffsets", () -> get(admin.deleteConsumerGroupOffsets("group",
            Set.of(T0)).all()));
        call("alterConsumerGroupOffsets other", () -> get(admin.alterConsumerGroupOffsets("other",
            offsets).all()));
        call("deleteConsumerGroups", () -> each(admin.deleteConsumerGroups(List.of("other", "no-such"))
            .deletedGroups()));
        call("describeShareGroups", () -> each(admin.describeShareGroups(List.of("share"))
            .describedGroups()));
        call("listShareGroupOffsets", () -> get(admin.listShareGroupOffsets(Map.of("share",
            new ListShareGroupOffsetsSpec())).all()));
        call("alterShareGroupOffsets", () -> get(admin.alterShareGroupOffsets("share", Map.of(T0, 3L))
            .all()));
        call("deleteShareGroupOffsets", () -> get(admin.deleteShareGroupOffsets("share",
            Set.of("admin")).all()));
        call("deleteShareGroups", () -> each(admin.deleteShareGroups(List.of("share"))
            .deletedGroups()));
        call("describeStreamsGroups", () -> each(admin.describeStreamsGroups(List.of("streams"))
            .describedGroups()));
        call("listStreamsGroupOffsets", () -> get(admin.listStreamsGroupOffsets(Map.of("streams",
            new ListStreamsGroupOffsetsSpec())).partitionsToOffsetAndMetadata("streams")));
        call("alterStreamsGroupOffsets", () -> get(admin.alterStreamsGroupOffsets("streams", offsets)
            .all()));
        call("deleteStreamsGroups", () -> each(admin.deleteStreamsGroups(List.of("streams"))
            .deletedGroups()));
        call("deleteStreamsGroupOffsets", () -> get(admin.deleteStreamsGroupOffsets("streams",
            Set.of(T0)).all()));
    }

    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("request.timeout.ms", "2000");
        properties.put("default.api.timeout.ms", "4000");
        try (Admin admin = Admin.create(properties)) {
            topics(admin, arguments[0]);
            configs(admin);
            cluster(admin);
            security(admin);
            groups(admin);
        }
        for (Method method : Admin.class.getMethods()) {
            if (!CALLED.contains(method.getName()) && !LOCAL.contains(method.getName())) {
                System.out.println("never called: " + method.getName());
                System.exit(1);
            }
        }
    }
}
