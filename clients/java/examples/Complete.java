import dev.llmrouter.Answer;
import dev.llmrouter.ClientOptions;
import dev.llmrouter.Requests;
import dev.llmrouter.RouterClient;
import dev.llmrouter.RouterException;
import dev.llmrouter.v1.Caller;
import dev.llmrouter.v1.Receipt;
import java.time.Duration;

/** An answer in one message. Usage: see README.md. */
public class Complete {
  public static void main(String[] arguments) {
    String address = arguments.length > 0 ? arguments[0] : "localhost:50051";
    ClientOptions options = ClientOptions.defaults().timeout(Duration.ofSeconds(30));
    try (RouterClient router = RouterClient.connect(address, options)) {
      Answer answer =
          router.complete(
              Requests.ask("Summarise: the parcel arrived broken and I want my money back.")
                  .setCaller(Caller.newBuilder().setFeature("support_summary").setTier("free")));
      Receipt receipt = answer.receipt();
      System.out.println(answer.text());
      System.out.printf(
          "%s, by rule %s of policy %s: %d nano-USD%n",
          receipt.getModel(), receipt.getRule(), receipt.getPolicy(), receipt.getCostNanoUsd());
    } catch (RouterException failed) {
      System.err.println(failed.reason() + ": " + failed.description());
      System.exit(1);
    }
  }
}
