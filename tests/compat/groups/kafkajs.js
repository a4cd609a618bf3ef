// A member of a group by KafkaJS: kafkajs.js BROKER GROUP TOPIC ASSIGNOR
const { Kafka, logLevel } = require('kafkajs')

const [broker, groupId, topic] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'kafkajs', brokers: [broker], logLevel: logLevel.ERROR })
const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 500 })

async function run () {
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommitInterval: 200,
    eachMessage: async ({ message }) => process.stdout.write(message.value.toString() + '\n')
  })
}

run().catch(error => { console.error(error); process.exit(1) })
