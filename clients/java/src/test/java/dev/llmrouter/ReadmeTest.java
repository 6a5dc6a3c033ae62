package dev.llmrouter;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Properties;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ReadmeTest {
  private static final Pattern BLOCK = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL);
  private static final String AROUND =
      """
      import dev.llmrouter.*;
      import dev.llmrouter.v1.*;
      import io.grpc.Status;
      import io.grpc.StatusRuntimeException;
      import java.time.Duration;
      import java.util.concurrent.CompletableFuture;
      class Snippet { static RouterClient router; static void run() { %s } }
      """;

  @TempDir Path classes;

  @ParameterizedTest
  @ValueSource(strings = {"README.md", "../../README.md"})
  void codeCompiles(String readme) throws IOException {
    List<String> blocks =
        BLOCK.matcher(Files.readString(Path.of(readme))).results().map((MatchResult block) -> block.group(1)).toList();
    assertTrue(!blocks.isEmpty(), "no code is in " + readme);
    for (String block : blocks) {
      compile(block.contains("public class Main") ? block : AROUND.formatted(block));
    }
  }

  @Test
  void versionToInstallIsThisOne() throws IOException {
    Properties client = new Properties();
    client.load(ReadmeTest.class.getResourceAsStream("client.properties"));
    String readme = Files.readString(Path.of("README.md"));
    assertTrue(readme.contains("<version>" + client.getProperty("version") + "</version>"));
  }

  private void compile(String source) {
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    DiagnosticCollector<JavaFileObject> said = new DiagnosticCollector<>();
    String name = source.contains("public class Main") ? "Main" : "Snippet";
    JavaFileObject file =
        new SimpleJavaFileObject(URI.create("string:///" + name + ".java"), JavaFileObject.Kind.SOURCE) {
          @Override
          public CharSequence getCharContent(boolean ignoreEncodingErrors) {
            return source;
          }
        };
    List<String> options = List.of("-d", classes.toString(), "-cp", System.getProperty("java.class.path"), "-proc:none");
    assertTrue(
        compiler.getTask(null, null, said, options, null, List.of(file)).call(), () -> source + said.getDiagnostics());
  }
}
