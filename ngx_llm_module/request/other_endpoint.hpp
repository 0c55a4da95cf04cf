// Endpoints that are not translated, below llm_pass models: all that is read of a request is which
// model it is for, in a JSON body or in a form.
#pragma once

namespace llm {

class LlmRequest;

// Takes the model's name. False: it cannot be read, and the request was answered.
bool understand_other(LlmRequest &request);

}  // namespace llm
