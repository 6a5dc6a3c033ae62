package dev.llmrouter;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.llmrouter.v1.ReceiptSummary;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.Serializable;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Why a call failed. Its cause is gRPC's exception, with the status and the trailers as they came. */
public final class RouterException extends RuntimeException {
  private static final long serialVersionUID = 1;
  private static final String DOMAIN = "llmrouter";

  private final Status.Code code;
  private final String description;
  private final String reason;
  private final Map<String, String> metadata;
  private final Duration retryDelay;
  private final List<Violation> violations;
  private final ReceiptSummary receiptSummary;
  private final String requestId;

  /**
   * A bad field.
   *
   * @param field its path in the request, such as "chat.messages[2].role"
   * @param description what is wrong with it
   */
  public record Violation(String field, String description) implements Serializable {}

  private RouterException(StatusRuntimeException cause, Details details) {
    super(cause);
    this.code = cause.getStatus().getCode();
    this.description = Optional.ofNullable(cause.getStatus().getDescription()).orElse("");
    this.reason = details.info.getReason();
    this.metadata = Map.copyOf(details.info.getMetadataMap());
    this.retryDelay = details.retryDelay;
    this.violations = List.copyOf(details.violations);
    this.receiptSummary = details.receiptSummary;
    Metadata trailers = cause.getTrailers();
    String told = trailers == null ? null : trailers.get(OutgoingCalls.REQUEST_ID);
    this.requestId = told == null ? "" : told;
  }

  /** What a generated stub's exception tells. */
  public static RouterException from(StatusRuntimeException failure) {
    return new RouterException(failure, Details.of(failure));
  }

  /** The gRPC status code. */
  public Status.Code code() {
    return code;
  }

  /**
   * A name of the API's {@code ErrorReason} without its prefix, such as "ATTEMPTS_EXHAUSTED"; empty where the router was never
   * reached.
   */
  public String reason() {
    return reason;
  }

  /** What happened and what to do. */
  public String description() {
    return description;
  }

  /** What the reason is about, such as {"limit": "free-rpm"}. */
  public Map<String, String> metadata() {
    return metadata;
  }

  /** When to come back; empty where the router gave no hint, and where waiting does not help. */
  public Optional<Duration> retryDelay() {
    return Optional.ofNullable(retryDelay);
  }

  /** The fields at fault, with {@code INVALID_ARGUMENT}. */
  public List<Violation> violations() {
    return violations;
  }

  /** What was attempted and spent; empty where nothing was. {@link RouterClient#receipt} has the whole account. */
  public Optional<ReceiptSummary> receiptSummary() {
    return Optional.ofNullable(receiptSummary);
  }

  /** The call's request id; empty where the exception is of no call of a {@link RouterClient}. */
  public String requestId() {
    return requestId;
  }

  @Override
  public String getMessage() {
    return "%s: %s (request %s)".formatted(reason.isEmpty() ? code : reason, description, requestId);
  }

  /** What the details of a status say; those of kinds that this client does not know are passed over. */
  private static final class Details {
    private ErrorInfo info = ErrorInfo.getDefaultInstance();
    private Duration retryDelay;
    private final List<Violation> violations = new ArrayList<>();
    private ReceiptSummary receiptSummary;

    static Details of(StatusRuntimeException failure) {
      Details details = new Details();
      try {
        for (Any detail : StatusProto.fromThrowable(failure).getDetailsList()) {
          details.take(detail);
        }
      } catch (InvalidProtocolBufferException | IllegalArgumentException unreadable) {
        failure.addSuppressed(unreadable);
      }
      return details;
    }

    private void take(Any detail) throws InvalidProtocolBufferException {
      if (detail.is(ErrorInfo.class)) {
        ErrorInfo told = detail.unpack(ErrorInfo.class);
        info = told.getDomain().equals(DOMAIN) ? told : info;
      } else if (detail.is(RetryInfo.class)) {
        com.google.protobuf.Duration delay = detail.unpack(RetryInfo.class).getRetryDelay();
        retryDelay = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
      } else if (detail.is(BadRequest.class)) {
        for (BadRequest.FieldViolation bad : detail.unpack(BadRequest.class).getFieldViolationsList()) {
          violations.add(new Violation(bad.getField(), bad.getDescription()));
        }
      } else if (detail.is(ReceiptSummary.class)) {
        receiptSummary = detail.unpack(ReceiptSummary.class);
      }
    }
  }
}
