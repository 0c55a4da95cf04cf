// llm_log_content: what was asked and answered, one line of JSON for each request, in a file of its
// own. Off unless an operator switches it on. Bounded, keys taken out, written like nginx's logs.
#pragma once

#include <string>

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

class LlmRequest;

class ContentLog {
  public:
    explicit ContentLog(size_t most) : most_(most) {}

    void take_request(std::string_view bytes) { take(bytes, asked_); }
    void take_answer(std::string_view bytes) { take(bytes, answered_); }
    void write(LlmRequest &request);

  private:
    struct Part {
        std::string text;
        uint64_t size = 0;  // with what was left out
    };

    void take(std::string_view bytes, Part &part) {
        part.size += bytes.size();
        part.text.append(bytes.substr(0, most_ - part.text.size()));
    }

    size_t most_;
    Part asked_;
    Part answered_;
};

// Replaces what looks like a key by [key]: the words after the usual prefixes.
std::string redact_keys(std::string_view text);

}  // namespace llm
