package dev.llmrouter.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * RouterService routes chat calls to the right model and accounts for every attempt.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class RouterServiceGrpc {

  private RouterServiceGrpc() {}

  public static final String SERVICE_NAME = "llmrouter.v1.RouterService";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.llmrouter.v1.RouteRequest,
      dev.llmrouter.v1.RouteResponse> getRouteMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Route",
      requestType = dev.llmrouter.v1.RouteRequest.class,
      responseType = dev.llmrouter.v1.RouteResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.llmrouter.v1.RouteRequest,
      dev.llmrouter.v1.RouteResponse> getRouteMethod() {
    io.grpc.MethodDescriptor<dev.llmrouter.v1.RouteRequest, dev.llmrouter.v1.RouteResponse> getRouteMethod;
    if ((getRouteMethod = RouterServiceGrpc.getRouteMethod) == null) {
      synchronized (RouterServiceGrpc.class) {
        if ((getRouteMethod = RouterServiceGrpc.getRouteMethod) == null) {
          RouterServiceGrpc.getRouteMethod = getRouteMethod =
              io.grpc.MethodDescriptor.<dev.llmrouter.v1.RouteRequest, dev.llmrouter.v1.RouteResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Route"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.RouteRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.RouteResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RouterServiceMethodDescriptorSupplier("Route"))
              .build();
        }
      }
    }
    return getRouteMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.llmrouter.v1.CompleteRequest,
      dev.llmrouter.v1.CompleteResponse> getCompleteMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "Complete",
      requestType = dev.llmrouter.v1.CompleteRequest.class,
      responseType = dev.llmrouter.v1.CompleteResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.llmrouter.v1.CompleteRequest,
      dev.llmrouter.v1.CompleteResponse> getCompleteMethod() {
    io.grpc.MethodDescriptor<dev.llmrouter.v1.CompleteRequest, dev.llmrouter.v1.CompleteResponse> getCompleteMethod;
    if ((getCompleteMethod = RouterServiceGrpc.getCompleteMethod) == null) {
      synchronized (RouterServiceGrpc.class) {
        if ((getCompleteMethod = RouterServiceGrpc.getCompleteMethod) == null) {
          RouterServiceGrpc.getCompleteMethod = getCompleteMethod =
              io.grpc.MethodDescriptor.<dev.llmrouter.v1.CompleteRequest, dev.llmrouter.v1.CompleteResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "Complete"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.CompleteRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.CompleteResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RouterServiceMethodDescriptorSupplier("Complete"))
              .build();
        }
      }
    }
    return getCompleteMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.llmrouter.v1.StreamCompleteRequest,
      dev.llmrouter.v1.StreamCompleteResponse> getStreamCompleteMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "StreamComplete",
      requestType = dev.llmrouter.v1.StreamCompleteRequest.class,
      responseType = dev.llmrouter.v1.StreamCompleteResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
  public static io.grpc.MethodDescriptor<dev.llmrouter.v1.StreamCompleteRequest,
      dev.llmrouter.v1.StreamCompleteResponse> getStreamCompleteMethod() {
    io.grpc.MethodDescriptor<dev.llmrouter.v1.StreamCompleteRequest, dev.llmrouter.v1.StreamCompleteResponse> getStreamCompleteMethod;
    if ((getStreamCompleteMethod = RouterServiceGrpc.getStreamCompleteMethod) == null) {
      synchronized (RouterServiceGrpc.class) {
        if ((getStreamCompleteMethod = RouterServiceGrpc.getStreamCompleteMethod) == null) {
          RouterServiceGrpc.getStreamCompleteMethod = getStreamCompleteMethod =
              io.grpc.MethodDescriptor.<dev.llmrouter.v1.StreamCompleteRequest, dev.llmrouter.v1.StreamCompleteResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "StreamComplete"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.StreamCompleteRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.StreamCompleteResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RouterServiceMethodDescriptorSupplier("StreamComplete"))
              .build();
        }
      }
    }
    return getStreamCompleteMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.llmrouter.v1.GetReceiptRequest,
      dev.llmrouter.v1.GetReceiptResponse> getGetReceiptMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetReceipt",
      requestType = dev.llmrouter.v1.GetReceiptRequest.class,
      responseType = dev.llmrouter.v1.GetReceiptResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.llmrouter.v1.GetReceiptRequest,
      dev.llmrouter.v1.GetReceiptResponse> getGetReceiptMethod() {
    io.grpc.MethodDescriptor<dev.llmrouter.v1.GetReceiptRequest, dev.llmrouter.v1.GetReceiptResponse> getGetReceiptMethod;
    if ((getGetReceiptMethod = RouterServiceGrpc.getGetReceiptMethod) == null) {
      synchronized (RouterServiceGrpc.class) {
        if ((getGetReceiptMethod = RouterServiceGrpc.getGetReceiptMethod) == null) {
          RouterServiceGrpc.getGetReceiptMethod = getGetReceiptMethod =
              io.grpc.MethodDescriptor.<dev.llmrouter.v1.GetReceiptRequest, dev.llmrouter.v1.GetReceiptResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetReceipt"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.GetReceiptRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.GetReceiptResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RouterServiceMethodDescriptorSupplier("GetReceipt"))
              .build();
        }
      }
    }
    return getGetReceiptMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.llmrouter.v1.RecordFeedbackRequest,
      dev.llmrouter.v1.RecordFeedbackResponse> getRecordFeedbackMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "RecordFeedback",
      requestType = dev.llmrouter.v1.RecordFeedbackRequest.class,
      responseType = dev.llmrouter.v1.RecordFeedbackResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.llmrouter.v1.RecordFeedbackRequest,
      dev.llmrouter.v1.RecordFeedbackResponse> getRecordFeedbackMethod() {
    io.grpc.MethodDescriptor<dev.llmrouter.v1.RecordFeedbackRequest, dev.llmrouter.v1.RecordFeedbackResponse> getRecordFeedbackMethod;
    if ((getRecordFeedbackMethod = RouterServiceGrpc.getRecordFeedbackMethod) == null) {
      synchronized (RouterServiceGrpc.class) {
        if ((getRecordFeedbackMethod = RouterServiceGrpc.getRecordFeedbackMethod) == null) {
          RouterServiceGrpc.getRecordFeedbackMethod = getRecordFeedbackMethod =
              io.grpc.MethodDescriptor.<dev.llmrouter.v1.RecordFeedbackRequest, dev.llmrouter.v1.RecordFeedbackResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "RecordFeedback"))
              .setIdempotent(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.RecordFeedbackRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.RecordFeedbackResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RouterServiceMethodDescriptorSupplier("RecordFeedback"))
              .build();
        }
      }
    }
    return getRecordFeedbackMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.llmrouter.v1.QueryUsageRequest,
      dev.llmrouter.v1.QueryUsageResponse> getQueryUsageMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "QueryUsage",
      requestType = dev.llmrouter.v1.QueryUsageRequest.class,
      responseType = dev.llmrouter.v1.QueryUsageResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.llmrouter.v1.QueryUsageRequest,
      dev.llmrouter.v1.QueryUsageResponse> getQueryUsageMethod() {
    io.grpc.MethodDescriptor<dev.llmrouter.v1.QueryUsageRequest, dev.llmrouter.v1.QueryUsageResponse> getQueryUsageMethod;
    if ((getQueryUsageMethod = RouterServiceGrpc.getQueryUsageMethod) == null) {
      synchronized (RouterServiceGrpc.class) {
        if ((getQueryUsageMethod = RouterServiceGrpc.getQueryUsageMethod) == null) {
          RouterServiceGrpc.getQueryUsageMethod = getQueryUsageMethod =
              io.grpc.MethodDescriptor.<dev.llmrouter.v1.QueryUsageRequest, dev.llmrouter.v1.QueryUsageResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "QueryUsage"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.QueryUsageRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.QueryUsageResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RouterServiceMethodDescriptorSupplier("QueryUsage"))
              .build();
        }
      }
    }
    return getQueryUsageMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.llmrouter.v1.GetBudgetRequest,
      dev.llmrouter.v1.GetBudgetResponse> getGetBudgetMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetBudget",
      requestType = dev.llmrouter.v1.GetBudgetRequest.class,
      responseType = dev.llmrouter.v1.GetBudgetResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.llmrouter.v1.GetBudgetRequest,
      dev.llmrouter.v1.GetBudgetResponse> getGetBudgetMethod() {
    io.grpc.MethodDescriptor<dev.llmrouter.v1.GetBudgetRequest, dev.llmrouter.v1.GetBudgetResponse> getGetBudgetMethod;
    if ((getGetBudgetMethod = RouterServiceGrpc.getGetBudgetMethod) == null) {
      synchronized (RouterServiceGrpc.class) {
        if ((getGetBudgetMethod = RouterServiceGrpc.getGetBudgetMethod) == null) {
          RouterServiceGrpc.getGetBudgetMethod = getGetBudgetMethod =
              io.grpc.MethodDescriptor.<dev.llmrouter.v1.GetBudgetRequest, dev.llmrouter.v1.GetBudgetResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetBudget"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.GetBudgetRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.GetBudgetResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RouterServiceMethodDescriptorSupplier("GetBudget"))
              .build();
        }
      }
    }
    return getGetBudgetMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.llmrouter.v1.ListModelsRequest,
      dev.llmrouter.v1.ListModelsResponse> getListModelsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListModels",
      requestType = dev.llmrouter.v1.ListModelsRequest.class,
      responseType = dev.llmrouter.v1.ListModelsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.llmrouter.v1.ListModelsRequest,
      dev.llmrouter.v1.ListModelsResponse> getListModelsMethod() {
    io.grpc.MethodDescriptor<dev.llmrouter.v1.ListModelsRequest, dev.llmrouter.v1.ListModelsResponse> getListModelsMethod;
    if ((getListModelsMethod = RouterServiceGrpc.getListModelsMethod) == null) {
      synchronized (RouterServiceGrpc.class) {
        if ((getListModelsMethod = RouterServiceGrpc.getListModelsMethod) == null) {
          RouterServiceGrpc.getListModelsMethod = getListModelsMethod =
              io.grpc.MethodDescriptor.<dev.llmrouter.v1.ListModelsRequest, dev.llmrouter.v1.ListModelsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListModels"))
              .setSafe(true)
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.ListModelsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.llmrouter.v1.ListModelsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new RouterServiceMethodDescriptorSupplier("ListModels"))
              .build();
        }
      }
    }
    return getListModelsMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static RouterServiceStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<RouterServiceStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<RouterServiceStub>() {
        @java.lang.Override
        public RouterServiceStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new RouterServiceStub(channel, callOptions);
        }
      };
    return RouterServiceStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static RouterServiceBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<RouterServiceBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<RouterServiceBlockingStub>() {
        @java.lang.Override
        public RouterServiceBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new RouterServiceBlockingStub(channel, callOptions);
        }
      };
    return RouterServiceBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static RouterServiceFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<RouterServiceFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<RouterServiceFutureStub>() {
        @java.lang.Override
        public RouterServiceFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new RouterServiceFutureStub(channel, callOptions);
        }
      };
    return RouterServiceFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * RouterService routes chat calls to the right model and accounts for every attempt.
   * </pre>
   */
  public static abstract class RouterServiceImplBase implements io.grpc.BindableService {

    /**
     * <pre>
     * Route decides only: no upstream is called and nothing is paid.
     * </pre>
     */
    public void route(dev.llmrouter.v1.RouteRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.RouteResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRouteMethod(), responseObserver);
    }

    /**
     * <pre>
     * Complete answers in one message. OK means a verified finish, never a truncated answer.
     * </pre>
     */
    public void complete(dev.llmrouter.v1.CompleteRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.CompleteResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCompleteMethod(), responseObserver);
    }

    /**
     * <pre>
     * StreamComplete answers event by event: decision first, finished last.
     * </pre>
     */
    public void streamComplete(dev.llmrouter.v1.StreamCompleteRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.StreamCompleteResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getStreamCompleteMethod(), responseObserver);
    }

    /**
     * <pre>
     * GetReceipt finds the account of an earlier call, also of one that failed or was cancelled.
     * </pre>
     */
    public void getReceipt(dev.llmrouter.v1.GetReceiptRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.GetReceiptResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetReceiptMethod(), responseObserver);
    }

    /**
     * <pre>
     * RecordFeedback keeps what somebody made of an answer, by the call's request id; the caller's own tenant's calls only.
     * A repeat by the same source and author replaces what they said before, so that it is safe to send again.
     * </pre>
     */
    public void recordFeedback(dev.llmrouter.v1.RecordFeedbackRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.RecordFeedbackResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getRecordFeedbackMethod(), responseObserver);
    }

    /**
     * <pre>
     * QueryUsage tells what was used and what it cost. Callers see their own tenant; administrators see others.
     * </pre>
     */
    public void queryUsage(dev.llmrouter.v1.QueryUsageRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.QueryUsageResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getQueryUsageMethod(), responseObserver);
    }

    /**
     * <pre>
     * GetBudget tells how the caller stands with every limit and budget that applies; administrators also how far the
     * caps of shadow calls are spent.
     * </pre>
     */
    public void getBudget(dev.llmrouter.v1.GetBudgetRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.GetBudgetResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetBudgetMethod(), responseObserver);
    }

    /**
     * <pre>
     * ListModels lists the configured deployments with capabilities, prices and health.
     * </pre>
     */
    public void listModels(dev.llmrouter.v1.ListModelsRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.ListModelsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListModelsMethod(), responseObserver);
    }

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
          .addMethod(
            getRouteMethod(),
            io.grpc.stub.ServerCalls.asyncUnaryCall(
              new MethodHandlers<
                dev.llmrouter.v1.RouteRequest,
                dev.llmrouter.v1.RouteResponse>(
                  this, METHODID_ROUTE)))
          .addMethod(
            getCompleteMethod(),
            io.grpc.stub.ServerCalls.asyncUnaryCall(
              new MethodHandlers<
                dev.llmrouter.v1.CompleteRequest,
                dev.llmrouter.v1.CompleteResponse>(
                  this, METHODID_COMPLETE)))
          .addMethod(
            getStreamCompleteMethod(),
            io.grpc.stub.ServerCalls.asyncServerStreamingCall(
              new MethodHandlers<
                dev.llmrouter.v1.StreamCompleteRequest,
                dev.llmrouter.v1.StreamCompleteResponse>(
                  this, METHODID_STREAM_COMPLETE)))
          .addMethod(
            getGetReceiptMethod(),
            io.grpc.stub.ServerCalls.asyncUnaryCall(
              new MethodHandlers<
                dev.llmrouter.v1.GetReceiptRequest,
                dev.llmrouter.v1.GetReceiptResponse>(
                  this, METHODID_GET_RECEIPT)))
          .addMethod(
            getRecordFeedbackMethod(),
            io.grpc.stub.ServerCalls.asyncUnaryCall(
              new MethodHandlers<
                dev.llmrouter.v1.RecordFeedbackRequest,
                dev.llmrouter.v1.RecordFeedbackResponse>(
                  this, METHODID_RECORD_FEEDBACK)))
          .addMethod(
            getQueryUsageMethod(),
            io.grpc.stub.ServerCalls.asyncUnaryCall(
              new MethodHandlers<
                dev.llmrouter.v1.QueryUsageRequest,
                dev.llmrouter.v1.QueryUsageResponse>(
                  this, METHODID_QUERY_USAGE)))
          .addMethod(
            getGetBudgetMethod(),
            io.grpc.stub.ServerCalls.asyncUnaryCall(
              new MethodHandlers<
                dev.llmrouter.v1.GetBudgetRequest,
                dev.llmrouter.v1.GetBudgetResponse>(
                  this, METHODID_GET_BUDGET)))
          .addMethod(
            getListModelsMethod(),
            io.grpc.stub.ServerCalls.asyncUnaryCall(
              new MethodHandlers<
                dev.llmrouter.v1.ListModelsRequest,
                dev.llmrouter.v1.ListModelsResponse>(
                  this, METHODID_LIST_MODELS)))
          .build();
    }
  }

  /**
   * <pre>
   * RouterService routes chat calls to the right model and accounts for every attempt.
   * </pre>
   */
  public static final class RouterServiceStub extends io.grpc.stub.AbstractAsyncStub<RouterServiceStub> {
    private RouterServiceStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected RouterServiceStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new RouterServiceStub(channel, callOptions);
    }

    /**
     * <pre>
     * Route decides only: no upstream is called and nothing is paid.
     * </pre>
     */
    public void route(dev.llmrouter.v1.RouteRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.RouteResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getRouteMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Complete answers in one message. OK means a verified finish, never a truncated answer.
     * </pre>
     */
    public void complete(dev.llmrouter.v1.CompleteRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.CompleteResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCompleteMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * StreamComplete answers event by event: decision first, finished last.
     * </pre>
     */
    public void streamComplete(dev.llmrouter.v1.StreamCompleteRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.StreamCompleteResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncServerStreamingCall(
          getChannel().newCall(getStreamCompleteMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * GetReceipt finds the account of an earlier call, also of one that failed or was cancelled.
     * </pre>
     */
    public void getReceipt(dev.llmrouter.v1.GetReceiptRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.GetReceiptResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetReceiptMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * RecordFeedback keeps what somebody made of an answer, by the call's request id; the caller's own tenant's calls only.
     * A repeat by the same source and author replaces what they said before, so that it is safe to send again.
     * </pre>
     */
    public void recordFeedback(dev.llmrouter.v1.RecordFeedbackRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.RecordFeedbackResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getRecordFeedbackMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * QueryUsage tells what was used and what it cost. Callers see their own tenant; administrators see others.
     * </pre>
     */
    public void queryUsage(dev.llmrouter.v1.QueryUsageRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.QueryUsageResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getQueryUsageMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * GetBudget tells how the caller stands with every limit and budget that applies; administrators also how far the
     * caps of shadow calls are spent.
     * </pre>
     */
    public void getBudget(dev.llmrouter.v1.GetBudgetRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.GetBudgetResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetBudgetMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * ListModels lists the configured deployments with capabilities, prices and health.
     * </pre>
     */
    public void listModels(dev.llmrouter.v1.ListModelsRequest request,
        io.grpc.stub.StreamObserver<dev.llmrouter.v1.ListModelsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListModelsMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * <pre>
   * RouterService routes chat calls to the right model and accounts for every attempt.
   * </pre>
   */
  public static final class RouterServiceBlockingStub extends io.grpc.stub.AbstractBlockingStub<RouterServiceBlockingStub> {
    private RouterServiceBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected RouterServiceBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new RouterServiceBlockingStub(channel, callOptions);
    }

    /**
     * <pre>
     * Route decides only: no upstream is called and nothing is paid.
     * </pre>
     */
    public dev.llmrouter.v1.RouteResponse route(dev.llmrouter.v1.RouteRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getRouteMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Complete answers in one message. OK means a verified finish, never a truncated answer.
     * </pre>
     */
    public dev.llmrouter.v1.CompleteResponse complete(dev.llmrouter.v1.CompleteRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCompleteMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * StreamComplete answers event by event: decision first, finished last.
     * </pre>
     */
    public java.util.Iterator<dev.llmrouter.v1.StreamCompleteResponse> streamComplete(
        dev.llmrouter.v1.StreamCompleteRequest request) {
      return io.grpc.stub.ClientCalls.blockingServerStreamingCall(
          getChannel(), getStreamCompleteMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * GetReceipt finds the account of an earlier call, also of one that failed or was cancelled.
     * </pre>
     */
    public dev.llmrouter.v1.GetReceiptResponse getReceipt(dev.llmrouter.v1.GetReceiptRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetReceiptMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * RecordFeedback keeps what somebody made of an answer, by the call's request id; the caller's own tenant's calls only.
     * A repeat by the same source and author replaces what they said before, so that it is safe to send again.
     * </pre>
     */
    public dev.llmrouter.v1.RecordFeedbackResponse recordFeedback(dev.llmrouter.v1.RecordFeedbackRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getRecordFeedbackMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * QueryUsage tells what was used and what it cost. Callers see their own tenant; administrators see others.
     * </pre>
     */
    public dev.llmrouter.v1.QueryUsageResponse queryUsage(dev.llmrouter.v1.QueryUsageRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getQueryUsageMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * GetBudget tells how the caller stands with every limit and budget that applies; administrators also how far the
     * caps of shadow calls are spent.
     * </pre>
     */
    public dev.llmrouter.v1.GetBudgetResponse getBudget(dev.llmrouter.v1.GetBudgetRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetBudgetMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * ListModels lists the configured deployments with capabilities, prices and health.
     * </pre>
     */
    public dev.llmrouter.v1.ListModelsResponse listModels(dev.llmrouter.v1.ListModelsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListModelsMethod(), getCallOptions(), request);
    }
  }

  /**
   * <pre>
   * RouterService routes chat calls to the right model and accounts for every attempt.
   * </pre>
   */
  public static final class RouterServiceFutureStub extends io.grpc.stub.AbstractFutureStub<RouterServiceFutureStub> {
    private RouterServiceFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected RouterServiceFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new RouterServiceFutureStub(channel, callOptions);
    }

    /**
     * <pre>
     * Route decides only: no upstream is called and nothing is paid.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.llmrouter.v1.RouteResponse> route(
        dev.llmrouter.v1.RouteRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getRouteMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Complete answers in one message. OK means a verified finish, never a truncated answer.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.llmrouter.v1.CompleteResponse> complete(
        dev.llmrouter.v1.CompleteRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCompleteMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * GetReceipt finds the account of an earlier call, also of one that failed or was cancelled.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.llmrouter.v1.GetReceiptResponse> getReceipt(
        dev.llmrouter.v1.GetReceiptRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetReceiptMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * RecordFeedback keeps what somebody made of an answer, by the call's request id; the caller's own tenant's calls only.
     * A repeat by the same source and author replaces what they said before, so that it is safe to send again.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.llmrouter.v1.RecordFeedbackResponse> recordFeedback(
        dev.llmrouter.v1.RecordFeedbackRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getRecordFeedbackMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * QueryUsage tells what was used and what it cost. Callers see their own tenant; administrators see others.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.llmrouter.v1.QueryUsageResponse> queryUsage(
        dev.llmrouter.v1.QueryUsageRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getQueryUsageMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * GetBudget tells how the caller stands with every limit and budget that applies; administrators also how far the
     * caps of shadow calls are spent.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.llmrouter.v1.GetBudgetResponse> getBudget(
        dev.llmrouter.v1.GetBudgetRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetBudgetMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * ListModels lists the configured deployments with capabilities, prices and health.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.llmrouter.v1.ListModelsResponse> listModels(
        dev.llmrouter.v1.ListModelsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListModelsMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_ROUTE = 0;
  private static final int METHODID_COMPLETE = 1;
  private static final int METHODID_STREAM_COMPLETE = 2;
  private static final int METHODID_GET_RECEIPT = 3;
  private static final int METHODID_RECORD_FEEDBACK = 4;
  private static final int METHODID_QUERY_USAGE = 5;
  private static final int METHODID_GET_BUDGET = 6;
  private static final int METHODID_LIST_MODELS = 7;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final RouterServiceImplBase serviceImpl;
    private final int methodId;

    MethodHandlers(RouterServiceImplBase serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_ROUTE:
          serviceImpl.route((dev.llmrouter.v1.RouteRequest) request,
              (io.grpc.stub.StreamObserver<dev.llmrouter.v1.RouteResponse>) responseObserver);
          break;
        case METHODID_COMPLETE:
          serviceImpl.complete((dev.llmrouter.v1.CompleteRequest) request,
              (io.grpc.stub.StreamObserver<dev.llmrouter.v1.CompleteResponse>) responseObserver);
          break;
        case METHODID_STREAM_COMPLETE:
          serviceImpl.streamComplete((dev.llmrouter.v1.StreamCompleteRequest) request,
              (io.grpc.stub.StreamObserver<dev.llmrouter.v1.StreamCompleteResponse>) responseObserver);
          break;
        case METHODID_GET_RECEIPT:
          serviceImpl.getReceipt((dev.llmrouter.v1.GetReceiptRequest) request,
              (io.grpc.stub.StreamObserver<dev.llmrouter.v1.GetReceiptResponse>) responseObserver);
          break;
        case METHODID_RECORD_FEEDBACK:
          serviceImpl.recordFeedback((dev.llmrouter.v1.RecordFeedbackRequest) request,
              (io.grpc.stub.StreamObserver<dev.llmrouter.v1.RecordFeedbackResponse>) responseObserver);
          break;
        case METHODID_QUERY_USAGE:
          serviceImpl.queryUsage((dev.llmrouter.v1.QueryUsageRequest) request,
              (io.grpc.stub.StreamObserver<dev.llmrouter.v1.QueryUsageResponse>) responseObserver);
          break;
        case METHODID_GET_BUDGET:
          serviceImpl.getBudget((dev.llmrouter.v1.GetBudgetRequest) request,
              (io.grpc.stub.StreamObserver<dev.llmrouter.v1.GetBudgetResponse>) responseObserver);
          break;
        case METHODID_LIST_MODELS:
          serviceImpl.listModels((dev.llmrouter.v1.ListModelsRequest) request,
              (io.grpc.stub.StreamObserver<dev.llmrouter.v1.ListModelsResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        default:
          throw new AssertionError();
      }
    }
  }

  private static abstract class RouterServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    RouterServiceBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.llmrouter.v1.RouterServiceOuterClass.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("RouterService");
    }
  }

  private static final class RouterServiceFileDescriptorSupplier
      extends RouterServiceBaseDescriptorSupplier {
    RouterServiceFileDescriptorSupplier() {}
  }

  private static final class RouterServiceMethodDescriptorSupplier
      extends RouterServiceBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final String methodName;

    RouterServiceMethodDescriptorSupplier(String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (RouterServiceGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new RouterServiceFileDescriptorSupplier())
              .addMethod(getRouteMethod())
              .addMethod(getCompleteMethod())
              .addMethod(getStreamCompleteMethod())
              .addMethod(getGetReceiptMethod())
              .addMethod(getRecordFeedbackMethod())
              .addMethod(getQueryUsageMethod())
              .addMethod(getGetBudgetMethod())
              .addMethod(getListModelsMethod())
              .build();
        }
      }
    }
    return result;
  }
}
