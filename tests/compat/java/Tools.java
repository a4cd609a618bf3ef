/* Kafka's tools, one after another in one JVM: most of a tool's time is the start of its JVM.
 *
 * A line of standard input is one tool: the files of its standard input, output and error, its class
 * and its arguments, with tabs between them. A line of standard output answers: its exit status. Where
 * a tool exits it gets an exception instead, and its first status counts; then what it has left for the
 * JVM's end is done.
 *
 * Usage: java -cp JARS Tools.java */
import java.io.*;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.kafka.common.utils.Exit;

public class Tools {
    static final long PATIENCE_MS = 60_000;
    static final int STATUS_LATE = 124; /* that of timeout(1) */

    static class Exited extends Error {}

    /* Tools and loggers keep the stream that they found first. */
    static class Switch extends OutputStream {
        OutputStream to;

        @Override
        public void write(int value) throws IOException {
            to.write(value);
        }

        @Override
        public void write(byte[] bytes, int offset, int size) throws IOException {
            to.write(bytes, offset, size);
        }

        @Override
        public void flush() throws IOException {
            to.flush();
        }
    }

    static final Switch OUT = new Switch(), ERR = new Switch();
    static final List<Runnable> AT_END = new CopyOnWriteArrayList<>();
    static volatile Integer status;

    static void exit(int code) {
        if (status == null) {
            status = code;
        }
        throw new Exited();
    }

    static void run(String name, String[] arguments) {
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) arguments);
            status = status == null ? 0 : status;
        } catch (InvocationTargetException exception) {
            if (!(exception.getCause() instanceof Exited)) {
                exception.getCause().printStackTrace();
            }
        } catch (ReflectiveOperationException exception) {
            exception.printStackTrace();
        }
        AT_END.forEach(Runnable::run);
        AT_END.clear();
        status = status == null ? 1 : status;
    }

    static int tool(String[] words) throws Exception {
        Thread thread = new Thread(
            () -> run(words[3], Arrays.copyOfRange(words, 4, words.length)), "main");

        System.setIn(new FileInputStream(words[0]));
        OUT.to = new BufferedOutputStream(new FileOutputStream(words[1]));
        ERR.to = new FileOutputStream(words[2]);
        status = null;
        thread.start();
        thread.join(PATIENCE_MS);
        System.out.flush();
        OUT.to.close();
        ERR.to.close();
        return thread.isAlive() ? STATUS_LATE : status;
    }

    public static void main(String[] none) throws Exception {
        BufferedReader asked =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = System.out;
        int answer = 0;

        System.setOut(new PrintStream(OUT, true));
        System.setErr(new PrintStream(ERR, true));
        Exit.setExitProcedure((code, message) -> exit(code));
        Exit.setShutdownHookAdder((name, hook) -> AT_END.add(hook));
        for (String line; answer != STATUS_LATE && (line = asked.readLine()) != null;) {
            answer = tool(line.split("\t"));
            answers.println(answer);
        }
        Runtime.getRuntime().halt(0);
    }
}
