// Token counts of an answer that is forwarded unread, whatever its dialect and framing: JSON,
// server-sent events, lines, AWS's event stream. Looks for objects called "usage" and their like in
// the bytes as they pass; within strings of JSON those quotes would be escaped.
//
//   UnreadUsage usage;
//   usage.feed(bytes);            // cut anywhere; readable json::kPadding past their end
//   usage.usage().known
#pragma once

#include <memory>
#include <string>

#include "translators/core/usage.hpp"
#include "translators/dialect/anthropic.hpp"
#include "translators/dialect/anthropic_invoke.hpp"
#include "translators/dialect/gemini.hpp"

namespace llm {

class UnreadUsage {
  public:
    // `is_invoke`: messages in base64 within an event stream of AWS.
    explicit UnreadUsage(bool is_invoke);

    void feed(std::string_view bytes);
    const Usage &usage() const { return usage_; }
    const std::string &model() const { return model_; }  // empty: it did not say
    size_t memory() const { return pending_.capacity(); }

  private:
    void scan(std::string_view bytes);
    size_t take_member(std::string_view bytes, size_t colon, size_t kind);
    void take_object(std::string_view object);

    std::unique_ptr<anthropic::InvokeStream> invoke_;
    ByteBuffer unwrapped_;
    json::Reader reader_;
    anthropic::RawUsage messages_;
    gemini::RawUsage gemini_;
    Usage usage_;
    std::string model_;
    std::string pending_;  // what may be the begin of a member
};

// What an unread request asks for: the "model" of a body in JSON or of a form, or of the path as
// Gemini and Bedrock write it. Empty: it does not say.
std::string unread_model(std::string_view path, std::string_view body, json::Value root);

}  // namespace llm
