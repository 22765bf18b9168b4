/* Loads a SavedModel as TensorFlow Serving does, without Python, and asks it.
 *
 *   c_api_client LIBTENSORFLOW_CC MODEL CONFIG < requests > answers
 *
 * The library is opened at run time: linking a program against its gigabyte takes
 * longer than everything else here. CONFIG is a serialized ConfigProto. The requests are
 * answered in one call, so that what signatures share is optimized once. They are text,
 * separated by white space:
 *
 *   number of inputs, then for each
 *     operation  output index  dtype (TF_DataType)  rank  sizes  values
 *   number of outputs, then for each
 *     operation  output index
 *
 * The answer has for each output, in a line of its own: dtype, rank, sizes, values. The
 * bytes of CONFIG and of strings are in hexadecimal, behind an "x". */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

enum { MAX_TENSORS = 512, MAX_RANK = 8, MAX_WORD = 1 << 20 };

static void *library;
static TF_Status *status;
static char word[MAX_WORD];

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void *symbol(const char *name) {
  void *found = dlsym(library, name);
  if (!found) fail("libtensorflow_cc lacks", name);
  return found;
}

/* A function of the library, of the type that the header declares. */
#define TF(name) ((__typeof__(&name))symbol(#name))

static void check(const char *what) {
  if (TF(TF_GetCode)(status) != TF_OK) fail(what, TF(TF_Message)(status));
}

static const char *next_word(void) {
  if (scanf("%1048575s", word) != 1) fail("requests", "end of file");
  return word;
}

static int64_t next_number(void) { return strtoll(next_word(), NULL, 10); }

static TF_Output next_output(TF_Graph *graph) {
  TF_Operation *operation = TF(TF_GraphOperationByName)(graph, next_word());
  if (!operation) fail("the graph has no operation", word);
  return (TF_Output){operation, (int)next_number()};
}

static char *bytes_of(const char *text, size_t *size) {
  const char *hex = text + 1; /* behind the "x" */
  *size = strlen(hex) / 2;
  char *bytes = malloc(*size + 1);
  for (size_t i = 0; i < *size; i++) sscanf(hex + 2 * i, "%2hhx", &bytes[i]);
  return bytes;
}

static void read_string(TF_TString *target) {
  size_t size;
  char *bytes = bytes_of(next_word(), &size);
  TF(TF_StringInit)(target);
  TF(TF_StringCopy)(target, bytes, size);
  free(bytes);
}

static void free_tensor(void *data, size_t size, void *is_text) {
  for (size_t i = 0; is_text && i < size / sizeof(TF_TString); i++)
    TF(TF_StringDealloc)((TF_TString *)data + i);
  free(data);
}

static TF_Tensor *next_tensor(void) {
  TF_DataType type = (TF_DataType)next_number();
  int rank = (int)next_number();
  int64_t sizes[MAX_RANK], count = 1;
  if (rank > MAX_RANK) fail("requests", "too many dimensions");
  for (int i = 0; i < rank; i++) count *= sizes[i] = next_number();
  size_t size = type == TF_STRING ? sizeof(TF_TString) : TF(TF_DataTypeSize)(type);
  void *data = calloc(count + 1, size);
  for (int64_t i = 0; i < count; i++) {
    if (type == TF_STRING)
      read_string((TF_TString *)data + i);
    else if (type == TF_FLOAT)
      ((float *)data)[i] = strtof(next_word(), NULL);
    else if (type == TF_INT32)
      ((int32_t *)data)[i] = (int32_t)next_number();
    else if (type == TF_INT64)
      ((int64_t *)data)[i] = next_number();
    else if (type == TF_BOOL)
      ((unsigned char *)data)[i] = (unsigned char)next_number();
    else
      fail("requests", "unknown dtype");
  }
  void *is_text = type == TF_STRING ? data : NULL;
  return TF(TF_NewTensor)(type, sizes, rank, data, count * size, free_tensor, is_text);
}

static void print_string(const TF_TString *text) {
  const char *bytes = TF(TF_StringGetDataPointer)(text);
  size_t size = TF(TF_StringGetSize)(text);
  printf(" x");
  for (size_t i = 0; i < size; i++) printf("%02x", (unsigned char)bytes[i]);
}

static void print_tensor(const TF_Tensor *tensor) {
  TF_DataType type = TF(TF_TensorType)(tensor);
  const void *data = TF(TF_TensorData)(tensor);
  int rank = TF(TF_NumDims)(tensor);
  printf("%d %d", (int)type, rank);
  for (int i = 0; i < rank; i++) printf(" %" PRId64, TF(TF_Dim)(tensor, i));
  for (int64_t i = 0, count = TF(TF_TensorElementCount)(tensor); i < count; i++) {
    if (type == TF_STRING)
      print_string((const TF_TString *)data + i);
    else if (type == TF_FLOAT)
      printf(" %.9g", ((const float *)data)[i]);
    else if (type == TF_INT32)
      printf(" %" PRId32, ((const int32_t *)data)[i]);
    else if (type == TF_INT64)
      printf(" %" PRId64, ((const int64_t *)data)[i]);
    else if (type == TF_BOOL)
      printf(" %d", ((const unsigned char *)data)[i]);
    else
      fail("answer", "unknown dtype");
  }
  printf("\n");
}

static void answer(TF_Session *session, TF_Graph *graph) {
  TF_Output inputs[MAX_TENSORS], outputs[MAX_TENSORS];
  TF_Tensor *given[MAX_TENSORS], *found[MAX_TENSORS];
  int num_inputs = (int)next_number();
  if (num_inputs > MAX_TENSORS) fail("requests", "too many inputs");
  for (int i = 0; i < num_inputs; i++) {
    inputs[i] = next_output(graph);
    given[i] = next_tensor();
  }
  int num_outputs = (int)next_number();
  if (num_outputs > MAX_TENSORS) fail("requests", "too many outputs");
  for (int i = 0; i < num_outputs; i++) outputs[i] = next_output(graph);
  TF(TF_SessionRun)
  (session, NULL, inputs, given, num_inputs, outputs, found, num_outputs, NULL, 0,
   NULL, status);
  check("a request failed");
  for (int i = 0; i < num_outputs; i++) print_tensor(found[i]);
}

static TF_SessionOptions *options_of(const char *config) {
  TF_SessionOptions *options = TF(TF_NewSessionOptions)();
  size_t size;
  char *bytes = bytes_of(config, &size);
  TF(TF_SetConfig)(options, bytes, size, status);
  check("the configuration is wrong");
  return options;
}

int main(int argc, char **argv) {
  if (argc != 4) fail("usage", "c_api_client LIBTENSORFLOW_CC MODEL CONFIG");
  library = dlopen(argv[1], RTLD_LAZY | RTLD_GLOBAL);
  if (!library) fail("the library cannot be opened", dlerror());
  status = TF(TF_NewStatus)();
  TF_Graph *graph = TF(TF_NewGraph)();
  const char *tags[] = {"serve"};
  TF_Session *session = TF(TF_LoadSessionFromSavedModel)(
      options_of(argv[3]), NULL, argv[2], tags, 1, graph, NULL, status);
  check("the model cannot be loaded");
  answer(session, graph);
  TF(TF_CloseSession)(session, status);
  return 0;
}
