/*
 * The reference: a responder on libfcgi, the library of the people who made FastCGI. As many threads as connections,
 * because each serves one connection at a time.
 *
 *   responder SOCKET THREADS HEADERS-FILE BODY-FILE
 *
 * A GET is answered with the files, a POST with the number of bytes that came.
 */
#include <fcgiapp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int listening;
static char *headers, *body;
static size_t body_length;

static char *content_of(const char *path, size_t *length) {
  struct stat information;
  FILE *file = fopen(path, "r");
  char *content;
  if (file == NULL || fstat(fileno(file), &information) < 0) exit(1);
  content = calloc(1, information.st_size + 1);
  *length = fread(content, 1, information.st_size, file);
  fclose(file);
  return content;
}

static size_t count(FCGX_Stream *in) {
  char buffer[65536];
  size_t total = 0;
  for (int length; (length = FCGX_GetStr(buffer, sizeof buffer, in)) > 0;) total += length;
  return total;
}

static void answer(FCGX_Request *request) {
  const char *method = FCGX_GetParam("REQUEST_METHOD", request->envp);
  char number[32];
  const char *content = body;
  size_t length = body_length;
  if (method != NULL && strcmp(method, "POST") == 0) {
    length = snprintf(number, sizeof number, "%zu", count(request->in));
    content = number;
  }
  FCGX_FPrintF(request->out, "%sContent-Length: %d\r\n\r\n", headers, (int)length);
  FCGX_PutStr(content, length, request->out);
}

static void *serve(void *unused) {
  FCGX_Request request;
  FCGX_InitRequest(&request, listening, 0);
  while (FCGX_Accept_r(&request) >= 0) {
    answer(&request);
    FCGX_Finish_r(&request);
  }
  return unused;
}

int main(int count_of_arguments, char **arguments) {
  size_t unused;
  pthread_t thread;
  if (count_of_arguments != 5) return 2;
  headers = content_of(arguments[3], &unused);
  body = content_of(arguments[4], &body_length);
  FCGX_Init();
  listening = FCGX_OpenSocket(arguments[1], 511);
  if (listening < 0) return 1;
  for (int left = atoi(arguments[2]); left > 1; left--) pthread_create(&thread, NULL, serve, NULL);
  serve(NULL);
  return 0;
}
