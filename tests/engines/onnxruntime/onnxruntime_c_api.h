// The slots of ONNX Runtime's C interface that examples/onnxruntime/session.cpp calls, at their places; the rest is counted over.
// For machines that have PyPI's library and no header. The interface only ever adds slots at its end (ONNX Runtime,
// https://onnxruntime.ai/docs/api/c/struct_ort_api.html), so that a table for 1.24 serves every later library.
#pragma once

#include <stddef.h>
#include <stdint.h>
#define ORT_API_VERSION 24
#define NO_EXCEPTION noexcept
extern "C" {
struct OrtEnv;
struct OrtStatus;
struct OrtMemoryInfo;
struct OrtSession;
struct OrtValue;
struct OrtRunOptions;
struct OrtTensorTypeAndShapeInfo;
struct OrtSessionOptions;
struct OrtKeyValuePairs;
struct OrtSyncStream;
enum OrtErrorCode { ORT_OK, ORT_FAIL };
enum OrtLoggingLevel {
  ORT_LOGGING_LEVEL_VERBOSE, ORT_LOGGING_LEVEL_INFO, ORT_LOGGING_LEVEL_WARNING, ORT_LOGGING_LEVEL_ERROR, ORT_LOGGING_LEVEL_FATAL
};
enum ONNXTensorElementDataType { ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT };
enum OrtAllocatorType { OrtInvalidAllocator = -1, OrtDeviceAllocator = 0, OrtArenaAllocator = 1 };
enum OrtMemType { OrtMemTypeDefault = 0 };
struct OrtAllocator {
  uint32_t version;
  void* (*Alloc)(OrtAllocator*, size_t);
  void (*Free)(OrtAllocator*, void*);
  const OrtMemoryInfo* (*Info)(const OrtAllocator*);
  void* (*Reserve)(OrtAllocator*, size_t);
  OrtStatus* (*GetStats)(const OrtAllocator*, OrtKeyValuePairs**) NO_EXCEPTION;
  void* (*AllocOnStream)(OrtAllocator*, size_t, OrtSyncStream*);
};
struct OrtApi {
  OrtStatus* (*CreateStatus)(OrtErrorCode, const char*) NO_EXCEPTION;
  OrtErrorCode (*GetErrorCode)(const OrtStatus*) NO_EXCEPTION;
  const char* (*GetErrorMessage)(const OrtStatus*) NO_EXCEPTION;
  OrtStatus* (*CreateEnv)(OrtLoggingLevel, const char*, OrtEnv**) NO_EXCEPTION;
  void* pad4[3];
  OrtStatus* (*CreateSession)(const OrtEnv*, const char*, const OrtSessionOptions*, OrtSession**) NO_EXCEPTION;
  void* pad8[1];
  OrtStatus* (*Run)(OrtSession*, const OrtRunOptions*, const char* const*, const OrtValue* const*, size_t, const char* const*,
                    size_t, OrtValue**) NO_EXCEPTION;
  OrtStatus* (*CreateSessionOptions)(OrtSessionOptions**) NO_EXCEPTION;
  void* pad11[13];
  OrtStatus* (*SetIntraOpNumThreads)(OrtSessionOptions*, int) NO_EXCEPTION;
  void* pad25[11];
  OrtStatus* (*SessionGetInputName)(const OrtSession*, size_t, OrtAllocator*, char**) NO_EXCEPTION;
  OrtStatus* (*SessionGetOutputName)(const OrtSession*, size_t, OrtAllocator*, char**) NO_EXCEPTION;
  void* pad38[11];
  OrtStatus* (*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo*, void*, size_t, const int64_t*, size_t,
                                               ONNXTensorElementDataType, OrtValue**) NO_EXCEPTION;
  void* pad50[1];
  OrtStatus* (*GetTensorMutableData)(OrtValue*, void**) NO_EXCEPTION;
  void* pad52[12];
  OrtStatus* (*GetTensorShapeElementCount)(const OrtTensorTypeAndShapeInfo*, size_t*) NO_EXCEPTION;
  OrtStatus* (*GetTensorTypeAndShape)(const OrtValue*, OrtTensorTypeAndShapeInfo**) NO_EXCEPTION;
  void* pad66[3];
  OrtStatus* (*CreateCpuMemoryInfo)(OrtAllocatorType, OrtMemType, OrtMemoryInfo**) NO_EXCEPTION;
  void* pad70[6];
  OrtStatus* (*AllocatorFree)(OrtAllocator*, void*) NO_EXCEPTION;
  void* pad77[1];
  OrtStatus* (*GetAllocatorWithDefaultOptions)(OrtAllocator**) NO_EXCEPTION;
  void* pad79[13];
  void (*ReleaseEnv)(OrtEnv*) NO_EXCEPTION;
  void (*ReleaseStatus)(OrtStatus*) NO_EXCEPTION;
  void (*ReleaseMemoryInfo)(OrtMemoryInfo*) NO_EXCEPTION;
  void (*ReleaseSession)(OrtSession*) NO_EXCEPTION;
  void (*ReleaseValue)(OrtValue*) NO_EXCEPTION;
  void* pad97[2];
  void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo*) NO_EXCEPTION;
  void (*ReleaseSessionOptions)(OrtSessionOptions*) NO_EXCEPTION;
  void* pad101[29];
  OrtStatus* (*AddSessionConfigEntry)(OrtSessionOptions*, const char*, const char*) NO_EXCEPTION;
  OrtStatus* (*CreateAllocator)(const OrtSession*, const OrtMemoryInfo*, OrtAllocator**) NO_EXCEPTION;
  void (*ReleaseAllocator)(OrtAllocator*) NO_EXCEPTION;
  void* pad133[43];
  OrtStatus* (*RegisterAllocator)(OrtEnv*, OrtAllocator*) NO_EXCEPTION;
  OrtStatus* (*UnregisterAllocator)(OrtEnv*, const OrtMemoryInfo*) NO_EXCEPTION;
  void* pad178[117];
  void (*CreateKeyValuePairs)(OrtKeyValuePairs**) NO_EXCEPTION;
  void (*AddKeyValuePair)(OrtKeyValuePairs*, const char*, const char*) NO_EXCEPTION;
  const char* (*GetKeyValue)(const OrtKeyValuePairs*, const char*) NO_EXCEPTION;
  void* pad298[2];
  void (*ReleaseKeyValuePairs)(OrtKeyValuePairs*) NO_EXCEPTION;
  void* pad301[18];
  OrtStatus* (*AllocatorGetStats)(const OrtAllocator*, OrtKeyValuePairs**) NO_EXCEPTION;
};
struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t) NO_EXCEPTION;
  const char* (*GetVersionString)(void) NO_EXCEPTION;
};
const OrtApiBase* OrtGetApiBase(void) NO_EXCEPTION;
}
