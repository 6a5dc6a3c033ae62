package dev.llmrouter;

import dev.llmrouter.v1.CompleteRequest;
import dev.llmrouter.v1.CompleteResponse;
import io.grpc.ClientCall;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.CompletableFuture;

/** An answer that is awaited by its call, and ends the call when it is given up. */
final class FutureAnswer extends CompletableFuture<Answer> {
  private final ClientCall<CompleteRequest, CompleteResponse> call;

  FutureAnswer(ClientCall<CompleteRequest, CompleteResponse> call) {
    this.call = call;
  }

  void ask(CompleteRequest request) {
    ClientCalls.asyncUnaryCall(
        call,
        request,
        new StreamObserver<>() {
          @Override
          public void onNext(CompleteResponse response) {
            complete(Answer.of(response));
          }

          @Override
          public void onError(Throwable failure) {
            completeExceptionally(failure instanceof StatusRuntimeException status ? RouterException.from(status) : failure);
          }

          @Override
          public void onCompleted() {
            // The answer was complete when it came.
          }
        });
    // Also after orTimeout and the like; to a call that has ended it means nothing.
    whenComplete((answer, failure) -> {
      if (failure != null) {
        call.cancel("The caller gave up.", failure);
      }
    });
  }
}
