/** A thin client of the llmrouter API; begin with {@link dev.llmrouter.RouterClient#connect(String)}. */
package dev.llmrouter;
