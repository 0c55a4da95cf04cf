// Says when streamed tool arguments form one whole JSON object or array, fragment by fragment.
#pragma once

#include <cstdint>

#include "translators/json/text.hpp"

namespace llm::openai {

// Fed with escaped fragments. Counts brackets outside of strings: enough to know that nothing can
// follow, without judging what was inside.
class ArgumentScan {
  public:
    void feed(JsonText fragment) {
        const std::string_view bytes = fragment.bytes;
        for (size_t i = 0; i < bytes.size(); ++i) {
            char c = bytes[i];
            if (c == '\\' && i + 1 < bytes.size()) {
                c = bytes[++i];
                // Of the escapes only \" and \\ mean something here; \u0022 and \u005c are legal
                // spellings of them that nobody writes: they only keep the scan from completing.
                if (c != '"' && c != '\\') {
                    c = is_in_string_ ? 'x' : ' ';
                }
            }
            step(c);
        }
    }
    bool is_complete() const { return is_complete_; }

  private:
    void step(char c) {
        if (is_escaped_) {
            is_escaped_ = false;
        } else if (is_in_string_) {
            is_escaped_ = c == '\\';
            is_in_string_ = c != '"';
        } else if (c == '"') {
            is_in_string_ = true;
        } else if (c == '{' || c == '[') {
            is_complete_ = false;
            ++depth_;
        } else if ((c == '}' || c == ']') && depth_ > 0) {
            is_complete_ = --depth_ == 0;
        }
    }

    uint64_t depth_ = 0;
    bool is_in_string_ = false;
    bool is_escaped_ = false;
    bool is_complete_ = false;
};

}  // namespace llm::openai
