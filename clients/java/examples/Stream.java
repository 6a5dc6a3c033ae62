import dev.llmrouter.AnswerStream;
import dev.llmrouter.Requests;
import dev.llmrouter.RouterClient;
import dev.llmrouter.v1.Attempt;
import dev.llmrouter.v1.Caller;

/** An answer as it is written. Usage: see README.md. */
public class Stream {
  public static void main(String[] arguments) {
    String address = arguments.length > 0 ? arguments[0] : "localhost:50051";
    try (RouterClient router = RouterClient.connect(address);
        AnswerStream stream =
            router.stream(
                Requests.ask("Tell me a short story about a lighthouse.")
                    .setCaller(Caller.newBuilder().setFeature("chat_reply").setTier("pro")))) {
      for (String text : stream.text()) {
        System.out.print(text);
      }
      System.out.println();
      for (Attempt attempt : stream.answer().orElseThrow().receipt().getAttemptsList()) {
        String outcome = attempt.getErrorType().isEmpty() ? "ok" : attempt.getErrorType();
        System.out.printf("attempt %d: %s %s%n", attempt.getNumber(), attempt.getDeployment(), outcome);
      }
    }
  }
}
