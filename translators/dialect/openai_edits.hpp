// Edits of a body that otherwise stays as it is, by the values that were parsed from it.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "translators/dialect/openai.hpp"

namespace llm::openai {

class Edits {
  public:
    explicit Edits(std::vector<Edit> &edits) : edits_(edits) {}

    void replace(json::Value value, std::string text);
    // A new first member, `text` is its name and value.
    void insert(json::Value object, std::string text);
    // Another name for a member, where it is there.
    void rename(json::Value object, std::string_view name, std::string_view other);
    // Takes members out, each with one comma. Once for an object, with all the names.
    void remove(json::Value object, std::span<const std::string_view> names);
    void remove(json::Value object, std::initializer_list<std::string_view> names) {
        remove(object, std::span(names.begin(), names.size()));
    }

  private:
    std::vector<Edit> &edits_;
};

// openai_splice_messages.cpp
void splice_messages(json::Value messages, const ModelTraits &traits, Edits &edits);

}  // namespace llm::openai
